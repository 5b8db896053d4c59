/** A thread that seals frames; `seal-threads.ts` is its other side. */
import { parentPort, workerData } from 'node:worker_threads';
import { FrameSealing, type SealedFrames } from './frame-sealing';
import type { Numbered } from './thread-calls';

/** Frames in memory that both sides see; none: the digests of all packs. */
export type SealQuestion = { readonly shared: SharedArrayBuffer; readonly frames: number } | null;

export type SealAnswer = SealedFrames | ReadonlyMap<number, string>;

export interface SealThreadData {
  readonly packKey: Uint8Array;
  readonly firstPack: number;
  readonly packStep: number;
}

const { packKey, firstPack, packStep } = workerData as SealThreadData;
const sealing = new FrameSealing(packKey, firstPack, packStep);

parentPort!.on('message', ({ number, content: question }: Numbered<SealQuestion>) => {
  if (question === null) {
    parentPort!.postMessage({ number, content: sealing.digests() } satisfies Numbered<SealAnswer>);
    return;
  }
  const content = sealing.seal(Buffer.from(question.shared), question.frames);
  parentPort!.postMessage({ number, content } satisfies Numbered<SealAnswer>, [content.bytes.buffer as ArrayBuffer]);
});
