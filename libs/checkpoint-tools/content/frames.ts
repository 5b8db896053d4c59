import { corrupt } from '../damage';
import { encodings, frameBytes, kinds, packKey, slotsPerFrame } from '../format';
import type { Manifest } from '../parse/manifest';
import type { PageMap } from '../parse/page-map';
import { decryptFrame, frameKey } from '../parse/sealing';
import { decompress } from '../parse/zstd';
import type { Window } from './objects';
import type { Places } from './places';

/** The frames of a checkpoint, pack by pack, and the pages that are in them. */
export class Frames {
  /** For each pack its frames, in the order in which they lie there. */
  private readonly byPack: readonly number[][];
  private readonly keys = new Map<string, Buffer>();
  /** The pages in slot s of frame f are `pages[start[f·16+s]]` … */
  private readonly start: Uint32Array;
  private readonly pages: Uint32Array;

  constructor(
    private readonly manifest: Manifest,
    private readonly map: PageMap,
    places: Places,
    private readonly dataKey: Buffer,
  ) {
    this.byPack = manifest.packs.map(() => []);
    const { pack, offset, count } = map.frames;
    for (let frame = 0; frame < count; frame++) if (places.frames[frame] === 1) this.byPack[pack[frame]!]!.push(frame);
    for (const frames of this.byPack) frames.sort((one, other) => offset[one]! - offset[other]!);
    ({ start: this.start, pages: this.pages } = pagesBySlot(map, places));
  }

  /** Those that begin in a piece of a pack. */
  beginningIn(pack: number, { offset, next }: Pick<Window, 'offset' | 'next'>): readonly number[] {
    const begins = this.map.frames.offset;
    return this.byPack[pack]!.filter((frame) => begins[frame]! >= offset && begins[frame]! < next);
  }

  /** The pages that are in a slot, none for a dead one. */
  pagesIn(frame: number, slot: number): Uint32Array {
    const place = frame * slotsPerFrame + slot;
    return this.pages.subarray(this.start[place], this.start[place + 1]);
  }

  /** All pages that are in a frame. */
  pagesOf(frame: number): Uint32Array {
    return this.pages.subarray(this.start[frame * slotsPerFrame], this.start[(frame + 1) * slotsPerFrame]);
  }

  /**
   * The 65 536 bytes of a frame that begins in a window of its pack.
   * @throws CHECKPOINT_CORRUPT naming the pack and the frame's offset
   */
  open(frame: number, window: Window): Buffer {
    const { frames } = this.map;
    const pack = this.manifest.packs[frames.pack[frame]!]!;
    const offset = frames.offset[frame]!;
    const at = offset - window.offset;
    const stored = window.content.subarray(at, at + frames.length[frame]!);
    const plaintext = decryptFrame(this.keyOf(pack.checkpointId), pack.number, offset, stored);
    const key = packKey(this.manifest.desktopId, pack);
    if (plaintext === null) throw corrupt(key, `the tag of the frame at byte ${offset} does not match`, { offset });
    const content = frames.encoding[frame] === encodings.plain ? plaintext : decompress(plaintext, frameBytes);
    if (content === null) {
      throw corrupt(key, `the frame at byte ${offset} does not decompress to ${frameBytes} bytes`, { offset });
    }
    return content;
  }

  private keyOf(checkpointId: string): Buffer {
    let key = this.keys.get(checkpointId);
    if (key === undefined) this.keys.set(checkpointId, (key = frameKey(this.dataKey, checkpointId)));
    return key;
  }
}

/** Sorts by counting: a guest of 4 GiB has a million pages. */
function pagesBySlot(map: PageMap, places: Places): { start: Uint32Array; pages: Uint32Array } {
  const start = new Uint32Array(map.frames.count * slotsPerFrame + 1);
  const placeOf = (page: number): number =>
    map.kind[page] === kinds.frame && places.pages[page] === 1
      ? map.target[page]! * slotsPerFrame + map.slot[page]!
      : -1;
  for (let page = 0; page < map.pages; page++) if (placeOf(page) >= 0) start[placeOf(page) + 1]!++;
  for (let place = 1; place < start.length; place++) start[place]! += start[place - 1]!;
  const next = start.slice();
  const pages = new Uint32Array(start.at(-1)!);
  for (let page = 0; page < map.pages; page++) {
    const place = placeOf(page);
    if (place >= 0) pages[next[place]!++] = page;
  }
  return { start, pages };
}
