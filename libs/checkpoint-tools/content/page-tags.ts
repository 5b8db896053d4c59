import { kinds, pageTagBytes } from '../format';
import type { PageMap } from '../parse/page-map';
import { pageHash } from '../parse/sealing';

/** Whether 4096 bytes are the content of the nth page on disk, by its tag. */
export function hasPageTag(map: PageMap, n: number, contentKey: Buffer, content: Buffer, offset: number): boolean {
  const tag = map.tags.subarray(n * pageTagBytes, (n + 1) * pageTagBytes);
  return pageHash(contentKey, content, offset).subarray(0, pageTagBytes).equals(tag);
}

/** Which page on disk a page is, or null when it is elsewhere. By halving: they are in order. */
export function diskIndexOf({ kind, diskPages }: PageMap, page: number): number | null {
  if (kind[page] !== kinds.disk) return null;
  let low = 0;
  let high = diskPages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (diskPages[middle]! < page) low = middle + 1;
    else high = middle;
  }
  return low;
}
