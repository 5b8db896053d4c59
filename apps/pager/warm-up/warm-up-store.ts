import type { BlobStore } from '@dormouse/storage';

/**
 * Asks a store for something it does not have. A first request takes many times the processor time of later ones, and a connection
 * that has to be made. Never rejects: of what is wrong with the store those hear who have work for it.
 */
export async function warmUpStore(opened: Promise<BlobStore>): Promise<void> {
  try {
    await (await opened).read('warm-up/nothing');
  } catch {
    // Expected: there is no such object.
  }
}
