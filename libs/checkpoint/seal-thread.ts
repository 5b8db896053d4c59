/** A thread that seals frames; `seal-on-thread.ts` is its other side. */
import { FrameSealing, sealingMemory, type SealedFrames } from './frame-sealing';
import { answerCalls } from './thread-calls';

/** Memory for `most` frames that both sides see, by its number, `count` of them filled; or what else a `FrameSealer` is asked. */
export type SealQuestion =
  { readonly memory: number; readonly most: number; readonly count: number } | 'digests' | 'endPack';

export interface SealSetUp {
  readonly packKey: Uint8Array;
}

/** Of frames: their bytes stand in the memory, here is how many. */
export type SealAnswer = (Omit<SealedFrames, 'bytes'> & { readonly length: number }) | readonly string[] | null;

answerCalls<SealSetUp, SealQuestion, SealAnswer>(({ packKey }, shared) => {
  const sealing = new FrameSealing(packKey);
  return (question) => {
    if (question === 'digests') return sealing.digests();
    if (question === 'endPack') {
      sealing.endPack();
      return null;
    }
    const { memory, most, count } = question;
    const { bytes, ...about } = sealing.seal(sealingMemory(shared(memory), most), count);
    return { ...about, length: bytes.length };
  };
});
