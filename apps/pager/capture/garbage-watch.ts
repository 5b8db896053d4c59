import { getHeapStatistics } from 'node:v8';

/** Allocated outside of the heap since the collector last ran. */
const worthCollectingBytes = 24 * 1024 * 1024;

const externalBytes = (): number => getHeapStatistics().external_memory;

/**
 * Has the engine look for garbage when much was allocated outside of its heap. Left to itself it looks later: for the sake of wakes its
 * old space begins large (`libs/hypervisor/pager-process.ts`), and a save has all the more to keep.
 */
export class GarbageWatch {
  private afterBytes = externalBytes();

  look(): void {
    if (externalBytes() - this.afterBytes < worthCollectingBytes) return;
    globalThis.gc?.();
    this.afterBytes = externalBytes();
  }
}
