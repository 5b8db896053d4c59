import { corrupt, unsupported } from '../damage';
import { encodings, kinds, longestFrameBytes, slotsPerFrame, tagBytes } from '../format';
import type { Manifest } from '../parse/manifest';
import type { PageMap } from '../parse/page-map';
import type { Report } from '../report';

/** Which entries of a page map point to something there is, 1 or 0 for each. */
export interface Places {
  readonly frames: Uint8Array;
  readonly pages: Uint8Array;
}

/** Judges every entry of a page map. */
export function findPlaces(map: PageMap, manifest: Manifest, key: string, report: Report): Places {
  const frames = new Uint8Array(map.frames.count);
  for (let frame = 0; frame < frames.length; frame++) {
    const wrong = wrongWithFrame(map, frame, manifest);
    if (wrong === null) frames[frame] = 1;
    else report(corrupt(key, `frame ${frame} ${wrong}`));
  }
  const pages = new Uint8Array(map.pages);
  for (let page = 0; page < pages.length; page++) {
    const kind = map.kind[page]!;
    if (kind > kinds.disk) {
      report(unsupported(key, `page ${page} is of the unknown kind ${kind}`));
      continue;
    }
    const wrong = wrongWithPage(map, page, manifest);
    if (wrong === null) pages[page] = 1;
    else report(corrupt(key, `page ${page} ${wrong}`, { page }));
  }
  return { frames, pages };
}

function wrongWithFrame({ frames }: PageMap, frame: number, { packs }: Manifest): string | null {
  const pack = packs[frames.pack[frame]!];
  const encoding = frames.encoding[frame]!;
  const length = frames.length[frame]!;
  if (pack === undefined) return `is in pack ${frames.pack[frame]} of ${packs.length}`;
  if (encoding !== encodings.plain && encoding !== encodings.zstd) return `has the unknown encoding ${encoding}`;
  const possible = encoding === encodings.plain ? length === longestFrameBytes : length <= longestFrameBytes;
  if (!possible || length <= tagBytes) return `has the impossible length ${length}`;
  return frames.offset[frame]! + length <= pack.bytes ? null : 'ends behind its pack';
}

function wrongWithPage(map: PageMap, page: number, { diskSources }: Manifest): string | null {
  const target = map.target[page]!;
  switch (map.kind[page]) {
    case kinds.zero:
      return null;
    case kinds.frame:
      if (target >= map.frames.count) return `is in frame ${target} of ${map.frames.count}`;
      return map.slot[page]! < slotsPerFrame ? null : `is in slot ${map.slot[page]}`;
    case kinds.disk: {
      const source = diskSources[map.source[page]!];
      if (source === undefined) return `is in disk source ${map.source[page]} of ${diskSources.length}`;
      return target < source.blocks ? null : `is block ${target} of ${source.name}, which has ${source.blocks}`;
    }
    default:
      return 'never came';
  }
}
