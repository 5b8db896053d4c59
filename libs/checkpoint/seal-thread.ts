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

/**
 * What is compressed and encrypted lies outside of the heap, which hardly grows meanwhile: left to itself the collector would
 * run when tens of MiB have piled up. The young ones are free in a tenth of a millisecond.
 */
const sealsBetweenCollections = 4;

answerCalls<SealSetUp, SealQuestion, SealAnswer>(({ packKey }, shared) => {
  const sealing = new FrameSealing(packKey);
  let seals = 0;
  return (question) => {
    if (question === 'digests') return sealing.digests();
    if (question === 'endPack') {
      sealing.endPack();
      return null;
    }
    const { memory, most, count } = question;
    if (++seals % sealsBetweenCollections === 0) globalThis.gc?.({ type: 'minor' });
    const { bytes, ...about } = sealing.seal(sealingMemory(shared(memory), most), count);
    return { ...about, length: bytes.length };
  };
});
