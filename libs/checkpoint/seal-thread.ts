/** A thread that seals frames; `seal-on-thread.ts` is its other side. */
import { FrameSealing, sealingMemory, type SealedFrames } from './frame-sealing';
import { answerCalls } from './thread-calls';

/** Memory for `most` frames that both sides see, `count` of them filled; none: the digests of all packs. */
export type SealQuestion = {
  readonly shared: SharedArrayBuffer;
  readonly most: number;
  readonly count: number;
} | null;

export interface SealSetUp {
  readonly packKey: Uint8Array;
}

/** The bytes stand in the memory; here is how many. */
export type SealAnswer = (Omit<SealedFrames, 'bytes'> & { readonly length: number }) | readonly string[];

answerCalls<SealSetUp, SealQuestion, SealAnswer>(({ packKey }) => {
  const sealing = new FrameSealing(packKey);
  return (question) => {
    if (question === null) return sealing.digests();
    const { shared, most, count } = question;
    const { bytes, ...about } = sealing.seal(sealingMemory(Buffer.from(shared), most), count);
    return { ...about, length: bytes.length };
  };
});
