/** A thread that seals frames; `seal-on-thread.ts` is its other side. */
import { parentPort, workerData } from 'node:worker_threads';
import { FrameSealing, sealingMemory, type SealedFrames } from './frame-sealing';
import type { Numbered } from './thread-calls';

/** Memory for `most` frames that both sides see, `count` of them filled; none: the digests of all packs. */
export type SealQuestion = {
  readonly shared: SharedArrayBuffer;
  readonly most: number;
  readonly count: number;
} | null;

/** The bytes stand in the memory; here is how many. */
export type SealAnswer = (Omit<SealedFrames, 'bytes'> & { readonly length: number }) | readonly string[];

const sealing = new FrameSealing((workerData as { readonly packKey: Uint8Array }).packKey);

parentPort!.on('message', ({ number, content: question }: Numbered<SealQuestion>) => {
  if (question === null) {
    parentPort!.postMessage({ number, content: sealing.digests() } satisfies Numbered<SealAnswer>);
    return;
  }
  const { shared, most, count } = question;
  const { bytes, ...about } = sealing.seal(sealingMemory(Buffer.from(shared), most), count);
  const content = { ...about, length: bytes.length };
  parentPort!.postMessage({ number, content } satisfies Numbered<SealAnswer>);
});
