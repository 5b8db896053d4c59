/** A thread that hashes pages; `hash-threads.ts` is its other side. */
import { parentPort, workerData } from 'node:worker_threads';
import { hashPages } from './page-hash';
import type { Numbered } from './thread-calls';

/** Pages in memory that both sides see, and where in it they begin. */
export interface HashQuestion {
  readonly shared: SharedArrayBuffer;
  readonly offsets: Uint32Array;
}

export type HashAnswer = Uint8Array;

const { contentKey } = workerData as { readonly contentKey: Uint8Array };

parentPort!.on('message', ({ number, content: { shared, offsets } }: Numbered<HashQuestion>) => {
  const content = hashPages(contentKey, new Uint8Array(shared), offsets);
  parentPort!.postMessage({ number, content } satisfies Numbered<HashAnswer>);
});
