/** A thread that hashes pages; `hash-threads.ts` is its other side. */
import { parentPort, workerData } from 'node:worker_threads';
import { hashPages } from './page-hash';

/** A job: pages in memory that both sides see, and where in it they begin. */
export interface HashRequest {
  readonly number: number;
  readonly shared: SharedArrayBuffer;
  readonly offsets: Uint32Array;
}

export interface HashReply {
  readonly number: number;
  readonly hashes: Uint8Array;
}

const { contentKey } = workerData as { readonly contentKey: Uint8Array };

parentPort!.on('message', ({ number, shared, offsets }: HashRequest) => {
  const hashes = hashPages(contentKey, new Uint8Array(shared), offsets);
  parentPort!.postMessage({ number, hashes } satisfies HashReply);
});
