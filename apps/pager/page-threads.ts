import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { startHashThread, startSealThread } from '@dormouse/checkpoint';

/** Sealing has a thread of its own. Two processors are busy with that, with one of these, the event loop and QEMU. */
const hashThreads = availableParallelism() > 2 ? 2 : 1;

/** The threads of a pager. They are started while it waits for its assignment: whoever gives it one is in a hurry. */
export interface PageThreads {
  readonly hash: readonly Worker[];
  readonly seal: Worker;
}

export function startPageThreads(): PageThreads {
  return { hash: Array.from({ length: hashThreads }, startHashThread), seal: startSealThread() };
}
