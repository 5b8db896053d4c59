/** A thread that seals frames; `seal-on-thread.ts` is its other side. */
import { parentPort, workerData } from 'node:worker_threads';
import { FrameSealing, type SealedFrames } from './frame-sealing';
import type { Numbered } from './thread-calls';

/** Frames in memory that both sides see; none: the digests of all packs. */
export interface SealQuestion {
  readonly shared: SharedArrayBuffer;
  readonly frames: number;
}

export type SealAnswer = SealedFrames | readonly string[];

const sealing = new FrameSealing((workerData as { readonly packKey: Uint8Array }).packKey);

parentPort!.on('message', ({ number, content: question }: Numbered<SealQuestion | null>) => {
  if (question === null) {
    parentPort!.postMessage({ number, content: sealing.digests() } satisfies Numbered<SealAnswer>);
    return;
  }
  const content = sealing.seal(Buffer.from(question.shared), question.frames);
  parentPort!.postMessage({ number, content } satisfies Numbered<SealAnswer>, [content.bytes.buffer as ArrayBuffer]);
});
