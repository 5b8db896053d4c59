/** A thread that hashes pages; `hash-threads.ts` is its other side. */
import { parentPort, workerData } from 'node:worker_threads';
import { pageBytes } from './layout';
import { hashPages } from './page-hash';

/** A job: pages in memory that both sides see. */
export interface HashRequest {
  readonly number: number;
  readonly shared: SharedArrayBuffer;
  readonly count: number;
}

export interface HashReply {
  readonly number: number;
  readonly hashes: Uint8Array;
}

const { contentKey } = workerData as { readonly contentKey: Uint8Array };

parentPort!.on('message', ({ number, shared, count }: HashRequest) => {
  const hashes = hashPages(contentKey, new Uint8Array(shared, 0, count * pageBytes));
  parentPort!.postMessage({ number, hashes } satisfies HashReply);
});
