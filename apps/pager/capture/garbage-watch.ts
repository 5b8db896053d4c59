import { getHeapStatistics } from 'node:v8';

/** More outside of the heap than when the least was there. */
const worthCollectingBytes = 24 * 1024 * 1024;

const externalBytes = (): number => getHeapStatistics().external_memory;

/**
 * Has the engine look for garbage when much was allocated outside of its heap. Left to itself it looks later: for the sake of wakes its
 * old space begins large (`libs/hypervisor/pager-process.ts`), and a save has all the more to keep.
 */
export class GarbageWatch {
  /** What was there when the least was, since the engine last looked: it frees a moment after it has. */
  private leastBytes = externalBytes();

  look(): void {
    const bytes = externalBytes();
    this.leastBytes = Math.min(this.leastBytes, bytes);
    if (bytes - this.leastBytes < worthCollectingBytes) return;
    globalThis.gc?.();
    this.leastBytes = bytes;
  }
}
