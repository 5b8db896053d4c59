import type { BlobStore } from '@dormouse/storage';
import { fetchManifest } from './content/objects';
import { pageBytes, type CheckpointKeys, type CheckpointName } from './format';
import { memoryPages, type Manifest } from './parse/manifest';

/** What a manifest tells of its checkpoint. */
export interface CheckpointSummary extends CheckpointName {
  readonly createdAt: string;
  readonly keyId: string;
  /** False: no key was at hand, and who wrote the manifest is not known. */
  readonly sealChecked: boolean;
  readonly lineage: Manifest['lineage'];
  readonly fingerprint: Manifest['fingerprint'];
  readonly memory: { readonly bytes: number; readonly blocks: Manifest['blocks'] };
  /** Where the pages went, in the manifest's order; shares of all pages, 0 to 1. */
  readonly pages: readonly {
    readonly what: PageFate;
    readonly pages: number;
    readonly bytes: number;
    readonly share: number;
  }[];
  readonly superseded: number;
  readonly wakeSet: number;
  readonly objects: {
    readonly pageMap: number;
    readonly knownPages: number;
    readonly wakePack: number;
    /** Written by this save. */
    readonly ownPacks: number;
    readonly total: number;
  };
  /** All objects this save wrote, as part of the memory. */
  readonly share: number;
  /** Stored pages before and after compression. */
  readonly compression: { readonly raw: number; readonly packed: number };
  /** Packs by the checkpoint that wrote them. */
  readonly packs: readonly { readonly checkpointId: string; readonly packs: number; readonly bytes: number }[];
  readonly diskGeneration: string | null;
  readonly diskSources: Manifest['diskSources'];
}

export type PageFate = (typeof fates)[number];

const fates = ['zero', 'previous', 'disk', 'duplicate', 'stored'] as const;

/**
 * Reads the manifest of a checkpoint and nothing else.
 * @param keys null leaves the seal unchecked
 * @throws CHECKPOINT_UNKNOWN, CHECKPOINT_CORRUPT, CHECKPOINT_KEY_MISMATCH, FORMAT_UNSUPPORTED, STORAGE_FAILED
 */
export async function inspectCheckpoint(
  store: BlobStore,
  name: CheckpointName,
  keys: CheckpointKeys | null,
): Promise<CheckpointSummary> {
  const { manifest, checkSeal } = await fetchManifest(store, name);
  if (keys !== null) checkSeal(keys);
  return summarise(manifest, keys !== null);
}

function summarise(manifest: Manifest, sealChecked: boolean): CheckpointSummary {
  const { desktopId, checkpointId, createdAt, keyId, lineage, fingerprint, pages, bytes } = manifest;
  const memoryBytes = memoryPages(manifest) * pageBytes;
  const packs = packsByWriter(manifest);
  const ownPacks = packs.find((writer) => writer.checkpointId === checkpointId)?.bytes ?? 0;
  return {
    desktopId,
    checkpointId,
    createdAt,
    keyId,
    sealChecked,
    lineage,
    fingerprint,
    memory: { bytes: memoryBytes, blocks: manifest.blocks },
    pages: fates.map((what) => ({
      what,
      pages: pages[what],
      bytes: pages[what] * pageBytes,
      share: (pages[what] * pageBytes) / memoryBytes,
    })),
    superseded: pages.superseded,
    wakeSet: pages.wakeSet,
    objects: {
      pageMap: manifest.pageMap.bytes,
      knownPages: manifest.knownPages.bytes,
      wakePack: manifest.wakePack.bytes + (manifest.wakePages?.bytes ?? 0),
      ownPacks,
      total: bytes.written,
    },
    share: bytes.written / memoryBytes,
    compression: { raw: bytes.raw, packed: ownPacks },
    packs,
    diskGeneration: manifest.diskGeneration,
    diskSources: manifest.diskSources,
  };
}

function packsByWriter({ packs }: Manifest): CheckpointSummary['packs'] {
  const writers = new Map<string, { packs: number; bytes: number }>();
  for (const { checkpointId, bytes } of packs) {
    const known = writers.get(checkpointId) ?? { packs: 0, bytes: 0 };
    writers.set(checkpointId, { packs: known.packs + 1, bytes: known.bytes + bytes });
  }
  return [...writers].map(([checkpointId, sums]) => ({ checkpointId, ...sums }));
}
