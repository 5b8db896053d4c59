/** The options of `extraArguments` that name content for the guest, and the keys at which they do; null: the whole value is the name. */
const naming: Readonly<Record<string, ReadonlySet<string> | null>> = {
  drive: new Set(['file', 'filename', 'dir', 'path']),
  // Its `file` is the name of a node.
  blockdev: new Set(['filename', 'dir', 'path']),
  device: new Set(['romfile', 'file']),
  acpitable: new Set(['file', 'data']),
  fw_cfg: new Set(['file']),
  fsdev: new Set(['path']),
  virtfs: new Set(['path']),
  cdrom: null,
  pflash: null,
  bios: null,
};

/**
 * The files that `extraArguments` name as content for the guest: images, firmware, shared folders. Not memory and randomness, which are
 * no content. Whatever stands behind such an option counts, also where QEMU takes the option itself for a value.
 */
export function pathsInArguments(extraArguments: readonly string[]): string[] {
  return extraArguments.flatMap((argument, at) => {
    const option = /^--?(.+)$/.exec(argument)?.[1] ?? '';
    const text = extraArguments[at + 1];
    if (text === undefined || !Object.hasOwn(naming, option)) return [];
    const keys = naming[option]!;
    if (keys === null) return [text];
    return pairs(text)
      .filter(([key]) => keys.has(key.slice(key.lastIndexOf('.') + 1)))
      .flatMap(([key, value]) => (option === 'acpitable' && key === 'data' ? value.split(':') : [value]));
  });
}

/** As QEMU reads them: in JSON, or between commas, of which a doubled one is a part of the value. */
function pairs(text: string): [key: string, value: string][] {
  if (text.trimStart().startsWith('{')) return jsonPairs('', parsed(text));
  return text
    .replaceAll(',,', '\0')
    .split(',')
    .map((pair) => pair.replaceAll('\0', ','))
    .map((pair) => [pair.split('=', 1)[0]!, pair.slice(pair.indexOf('=') + 1)]);
}

function jsonPairs(key: string, value: unknown): [string, string][] {
  if (typeof value !== 'object' || value === null) return [[key, String(value)]];
  return Object.entries(value).flatMap(([name, one]) => jsonPairs(name, one));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // QEMU says what is wrong with it
  }
}
