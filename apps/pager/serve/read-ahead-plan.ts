import { pageKind, type CheckpointReader } from '@dormouse/checkpoint';

/** Frames that are stored one after the other, and read together. */
export interface FrameRange {
  readonly first: number;
  readonly count: number;
}

type Stored = Pick<CheckpointReader, 'map' | 'frames' | 'manifest' | 'runLength'>;

/** Of one read. A request costs as much processor time as the bytes of a MiB, here and at the store. */
const readBytes = 4 * 1024 * 1024;
/** What nobody is expected to want between what somebody is: to read over it costs less than another read. */
const widestGapBytes = 512 * 1024;
/** A pack that has no more is read as a whole. */
const smallPackBytes = 1024 * 1024;
/** A guest that wants a page goes on beside it: 128 KiB, aligned. */
const nearPages = 32;

/**
 * What is worth reading before it is asked for: the smallest packs first, since they hold what the guest had changed between two saves and goes
 * on using; of others what lies near the pages that it wants, in the order of the store.
 * @param wanted pages of the guest, as far as they are known; null when nothing is, and all may be wanted
 */
export function* planReadAhead(stored: Stored, wanted: Iterable<number> | null): Generator<FrameRange> {
  const { frames, manifest } = stored;
  const bytesOf = (frame: number): number => manifest.packs[frames.packOf(frame)]!.bytes;
  const near = wanted === null ? null : framesNear(stored, wanted);
  const packs = firstOfPacks(stored).map((first, n, all) => ({ first, end: all[n + 1] ?? frames.length }));
  packs.sort((one, other) => bytesOf(one.first) - bytesOf(other.first));
  for (const pack of packs) {
    const isWanted = (frame: number): boolean => near === null || near[frame] === 1 || bytesOf(frame) <= smallPackBytes;
    yield* rangesIn(stored, pack, isWanted);
  }
}

function* rangesIn(
  stored: Stored,
  { first: begin, end }: { readonly first: number; readonly end: number },
  isWanted: (frame: number) => boolean,
): Generator<FrameRange> {
  const endOf = (frame: number): number => stored.frames.get(frame).offset + stored.frames.get(frame).length;
  for (let first = begin; first < end; first++) {
    if (!isWanted(first)) continue;
    const most = stored.runLength(first, end - first, readBytes);
    let last = first;
    for (let frame = first + 1; frame < first + most; frame++) {
      if (isWanted(frame)) last = frame;
      else if (endOf(frame) - endOf(last) > widestGapBytes) break;
    }
    yield { first, count: last - first + 1 };
    first = last;
  }
}

/** 1 for each frame that holds a page near one of these. */
function framesNear({ map, frames }: Stored, pages: Iterable<number>): Uint8Array {
  const near = new Uint8Array(frames.length);
  const groups = new Set<number>();
  for (const page of pages) groups.add(page - (page % nearPages));
  for (const first of groups) {
    for (let page = first; page < Math.min(first + nearPages, map.pages); page++) {
      if (map.kindOf(page) === pageKind.frame) near[map.frameOf(page)] = 1;
    }
  }
  return near;
}

/** The first frame in each pack; they are numbered in the order of the store. */
function firstOfPacks({ frames }: Stored): number[] {
  const found: number[] = [];
  for (let frame = 0; frame < frames.length; frame++) {
    if (frame === 0 || frames.packOf(frame) !== frames.packOf(frame - 1)) found.push(frame);
  }
  return found;
}
