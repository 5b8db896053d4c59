/** A thread that hashes pages; `hash-threads.ts` is its other side. */
import { hashPages } from './page-hash';
import { answerCalls } from './thread-calls';

/** Pages in memory that both sides see, by its number, and where in it they begin. */
export interface HashQuestion {
  readonly memory: number;
  readonly offsets: Uint32Array;
}

export interface HashSetUp {
  readonly contentKey: Uint8Array;
}

export type HashAnswer = Uint8Array;

answerCalls<HashSetUp, HashQuestion, HashAnswer>(
  ({ contentKey }, shared) =>
    ({ memory, offsets }) =>
      hashPages(contentKey, shared(memory), offsets),
);
