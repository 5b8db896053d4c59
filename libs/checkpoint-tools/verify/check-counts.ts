import { corrupt } from '../damage';
import { kinds, objectKey, pageBytes } from '../format';
import type { Manifest } from '../parse/manifest';
import type { PageMap } from '../parse/page-map';
import type { Report } from '../report';

/** Compares the figures that a manifest holds for people with what the checkpoint is made of. */
export function checkCounts(manifest: Manifest, map: PageMap, report: Report): void {
  const key = objectKey(manifest, 'manifest');
  const { total, zero, previous, disk, duplicate, stored, superseded } = manifest.pages;
  const { raw, written } = manifest.bytes;
  const [inZeros, inFrames, onDisk] = [kinds.zero, kinds.frame, kinds.disk].map((kind) => countOf(map.kind, kind)) as [
    number,
    number,
    number,
  ];
  const own = manifest.packs.filter(({ checkpointId }) => checkpointId === manifest.checkpointId);
  const wakePages = manifest.wakePages ? [manifest.wakePages] : [];
  const objects = [...own, manifest.pageMap, manifest.knownPages, manifest.wakePack, ...wakePages];
  const claims: readonly (readonly [claim: string, holds: boolean])[] = [
    [`${total} pages in all, the page map has ${map.pages}`, total === map.pages],
    [
      `${total} pages in all, its other figures have another sum`,
      total === zero + previous + disk + duplicate + stored,
    ],
    [`${zero} zero pages, the page map has ${inZeros}`, zero === inZeros],
    [`${disk} pages found on disk, the page map has ${onDisk}`, disk <= onDisk],
    [`${stored} pages stored and ${duplicate} repeated, ${inFrames} are in frames`, stored + duplicate <= inFrames],
    [`${raw} bytes of ${stored} pages stored and ${superseded} superseded`, raw === (stored + superseded) * pageBytes],
    [
      `${written} bytes written, its objects have another sum`,
      written === objects.reduce((sum, { bytes }) => sum + bytes, 0),
    ],
  ];
  for (const [claim, holds] of claims) if (!holds) report(corrupt(key, `it says: ${claim}`), 'warning');
}

function countOf(list: Uint8Array, wanted: number): number {
  return list.reduce((sum, one) => sum + Number(one === wanted), 0);
}
