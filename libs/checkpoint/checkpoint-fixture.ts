import { createCipheriv } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBlobStore, type BlobStore, type BlobWriter } from '@dormouse/storage';
import type { CheckpointReader } from './checkpoint-reader';
import { collectObjects, type CollectReport } from './collect-objects';
import { CheckpointWriter, type PageHasher, type WriterOptions } from './checkpoint-writer';
import type { DiskBlocks, DiskCatalog, DiskFile } from './disk-catalog';
import type { DataKey } from './encryption';
import { keyBytes, pageBytes, pageHashBytes, pageKind } from './layout';
import { consecutive, hashPages } from './page-hash';
import { blockPlace } from './places';
import { PreviousCheckpoint } from './previous-checkpoint';
import type { ReadingKeys } from './encryption';
import { StoredCheckpoint } from './stored-checkpoint';
import type { MachineState, WakeHead } from './wake-head';

/** Checkpoints in a real file store in a directory of their own. For tests only. */

export const identity = { desktopId: 'desk-1', checkpointId: '0b0e1c1a-0000-4000-8000-000000000001' };
export const machine = {
  fingerprint: { machine: 'pc-q35-7.2', cpuModel: 'qemu64' },
  diskGeneration: 'generation-7',
  createdAt: '2026-01-02T03:04:05.678Z',
};
export const dataKey: DataKey = { keyId: '00000000-0000-4000-8000-00000000000a', key: Buffer.alloc(keyBytes, 0xd1) };
export const contentKey = Buffer.alloc(keyBytes, 0xc2);
export const keys = { dataKey, contentKey };

/** Hashes on the caller's thread. */
export const hasher: PageHasher = {
  allocate: (bytes) => Buffer.alloc(bytes),
  hash: (memory, offsets) => Promise.resolve(hashPages(contentKey, memory, offsets)),
};

export const wakePack = { configuration: Buffer.from('machine name and more'), deviceState: Buffer.alloc(300, 0xde) };

/** Two blocks of `pages` pages together. */
export function blocksOf(pages: number): { name: string; bytes: number }[] {
  const second = Math.floor(pages / 3);
  return [
    { name: 'pc.ram', bytes: (pages - second) * pageBytes },
    { name: 'vga.vram', bytes: second * pageBytes },
  ].filter(({ bytes }) => bytes > 0);
}

/** A page that compresses to next to nothing. */
export const dull = (seed: number): Buffer => Buffer.alloc(pageBytes, `${seed}·`);

/** A page that does not compress at all, the same one for the same seed. */
export function wild(seed: number): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(pageBytes));
}

/** What stands on the disks of a machine, by source: images, and layers that it could still write to. */
export class DisksInMemory implements DiskCatalog {
  readonly files: readonly DiskFile[];
  private readonly contents: readonly Buffer[];
  private readonly places = new Map<string, number>();

  constructor(sources: Readonly<Record<string, Buffer>>) {
    this.files = Object.keys(sources).map((name) => ({ name, settled: name.startsWith('image/') }));
    this.contents = Object.values(sources);
    for (const [file, content] of this.contents.entries()) {
      const hashes = hashPages(contentKey, content, consecutive(content.length / pageBytes));
      for (let block = 0; block < content.length / pageBytes; block++) {
        const hash = hashes.toString('hex', block * pageHashBytes, (block + 1) * pageHashBytes);
        this.places.set(hash, blockPlace(file, block));
      }
    }
  }

  find(hashes: Buffer, at: number): number {
    return this.places.get(hashes.toString('hex', at, at + pageHashBytes)) ?? -1;
  }

  blocks(file: number): number {
    return this.contents[file]!.length / pageBytes;
  }

  readNow(file: number, block: number): Buffer {
    return this.contents[file]!.subarray(block * pageBytes, (block + 1) * pageBytes);
  }
}

export class TestStore {
  private readonly opened: BlobStore[] = [];

  private constructor(private readonly directory: string) {}

  static async create(): Promise<TestStore> {
    return new TestStore(await mkdtemp(join(tmpdir(), 'dormouse-checkpoint-')));
  }

  /** A store that has read nothing yet. */
  async open(): Promise<BlobStore> {
    const store = await openBlobStore(`file://${this.directory}/store`);
    this.opened.push(store);
    return store;
  }

  async keys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of (await this.open()).list('')) keys.push(key);
    return keys.sort();
  }

  /** Reads and changes an object behind the store's back. */
  content(key: string): Promise<Buffer> {
    return readFile(this.file(key));
  }

  change(key: string, content: Buffer): Promise<void> {
    return writeFile(this.file(key), content);
  }

  removeObject(key: string): Promise<void> {
    return rm(this.file(key));
  }

  async remove(): Promise<void> {
    await Promise.all(this.opened.map((store) => store.close()));
    await rm(this.directory, { recursive: true, force: true });
  }

  private file(key: string): string {
    return join(this.directory, 'store', key);
  }
}

/** The store with some of its methods replaced. */
export function bend(store: BlobStore, changes: Partial<BlobStore>): BlobStore {
  return Object.assign(Object.create(store) as BlobStore, changes);
}

/** The store with something done to each writer it hands out. */
export function bendWriters(
  store: BlobStore,
  changes: (writer: BlobWriter, key: string) => Partial<BlobWriter>,
): BlobStore {
  return bend(store, {
    create: async (key) => {
      const writer = await store.create(key);
      return Object.assign(Object.create(writer) as BlobWriter, changes(writer, key));
    },
  });
}

/** Adds pages in this order; null is a page of zeros. */
export async function add(
  writer: CheckpointWriter,
  pages: Iterable<readonly [page: number, content: Buffer | null]>,
): Promise<void> {
  for (const [page, content] of pages) {
    if (content === null) writer.addZeroPage(page);
    else writer.addPage(page, content, 0);
    if (writer.saturated) await writer.drained();
  }
}

/** Writes a checkpoint whose page n is `pages[n]`; null is a page of zeros. */
export async function write(
  store: BlobStore,
  pages: readonly (Buffer | null)[],
  { desktopId, checkpointId } = identity,
  waking: MachineState = wakePack,
  options: Partial<WriterOptions> = {},
): Promise<void> {
  const writer = new CheckpointWriter(store, { desktopId, checkpointId }, blocksOf(pages.length), {
    keys,
    hasher,
    ...options,
  });
  await add(writer, pages.entries());
  await writer.commit(await writer.seal(waking, machine));
}

/** Writes a checkpoint that stores only what the one before does not know. */
export async function writeAfter(
  store: BlobStore,
  previousId: string,
  pages: readonly (Buffer | null)[],
  checkpointId: string,
  options: Partial<WriterOptions> = {},
): Promise<void> {
  const { desktopId } = identity;
  const previous = await PreviousCheckpoint.load(store, { desktopId, checkpointId: previousId }, dataKey, () => true);
  await write(store, pages, { desktopId, checkpointId }, wakePack, { ...options, previous });
}

/** Removes all that these need not, of whatever age: every other checkpoint that was found is one that was given up. */
export function collect(
  store: BlobStore,
  { kept = [], writing = [] }: { kept?: readonly string[]; writing?: readonly string[] },
): Promise<CollectReport> {
  return collectObjects(store, identity.desktopId, {
    unneededBeforeMs: Infinity,
    standings: (found) =>
      Promise.resolve([
        ...kept.map((id) => ({ id, standing: 'kept' as const })),
        ...writing.map((id) => ({ id, standing: 'writing' as const })),
        ...found
          .filter((id) => !kept.includes(id) && !writing.includes(id))
          .map((id) => ({ id, standing: 'gone' as const })),
      ]),
  });
}

/** A checkpoint of which everything was read but the pages. */
export type OpenedCheckpoint = CheckpointReader & { readonly wakePack: WakeHead & { readonly content: Buffer } };

export async function open(
  store: BlobStore,
  { desktopId, checkpointId }: { desktopId: string; checkpointId: string } = identity,
  reading: ReadingKeys = keys,
  disks?: DiskBlocks,
): Promise<OpenedCheckpoint> {
  const found = await StoredCheckpoint.find(store, { desktopId, checkpointId }, reading.dataKey);
  const reader = await found.pages(reading, disks);
  await found.checkSizes();
  const wakePack = found.wakePack();
  const head = await wakePack.head();
  const content: Buffer[] = [];
  for await (const segment of wakePack.content()) content.push(segment);
  return Object.assign(reader, { wakePack: { ...head, content: Buffer.concat(content) } });
}

/** Every page of a checkpoint, read frame by frame; null is a page of zeros. */
export async function readPages(reader: CheckpointReader): Promise<(Buffer | null)[]> {
  const frames = await Promise.all(
    Array.from({ length: reader.frames.length }, (_, frame) => readFrame(reader, frame)),
  );
  return pagesIn(reader, frames);
}

/** Every page of a checkpoint, read in runs of frames. */
export async function readPagesInRuns(reader: CheckpointReader, most: number): Promise<(Buffer | null)[]> {
  const frames: Buffer[] = [];
  while (frames.length < reader.frames.length) {
    frames.push(...(await readFrames(reader, frames.length, reader.runLength(frames.length, most))));
  }
  return pagesIn(reader, frames);
}

function pagesIn(reader: CheckpointReader, frames: readonly Buffer[]): Promise<(Buffer | null)[]> {
  const { map } = reader;
  return Promise.all(
    Array.from({ length: map.pages }, async (_, page) => {
      if (map.kindOf(page) === pageKind.zero) return null;
      if (map.kindOf(page) === pageKind.disk) {
        const block = await reader.readBlocks(map.sourceOf(page), map.blockOf(page), 1);
        reader.checkDiskPage(page, block, 0);
        return block;
      }
      const at = map.slotOf(page) * pageBytes;
      return frames[map.frameOf(page)]!.subarray(at, at + pageBytes);
    }),
  );
}

/** Jest's own comparison takes a second for a thousand pages. */
export function samePages(read: readonly (Buffer | null)[], expected: readonly (Buffer | null)[]): boolean {
  return (
    read.length === expected.length &&
    read.every((page, n) => (page === null ? expected[n] === null : expected[n]?.equals(page) === true))
  );
}

/** One frame the way a guest that waits gets it. */
export async function readFrame(reader: CheckpointReader, frame: number): Promise<Buffer> {
  return (await reader.readRun(frame, 1)).open(frame);
}

/** Frames the way the background fill gets them. */
export async function readFrames(reader: CheckpointReader, first: number, count: number): Promise<Buffer[]> {
  const run = await reader.readRun(first, count);
  return Array.from({ length: count }, (_, n) => run.open(first + n));
}
