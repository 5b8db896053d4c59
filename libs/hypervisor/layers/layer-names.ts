/** What the files of a desktop's disk layers are called. */

/** The layer that a generation has for its nth writable disk: `<generation>.<disk>.qcow2`. */
export function layerName(generation: string, disk: number): string {
  return `${generation}.${disk}.qcow2`;
}

/** The generation of a layer that is made ahead, for the next wake from `parent`. */
export function preparedOn(parent: string): string {
  return `${parent}${preparedSuffix}`;
}

const preparedSuffix = '.next';
const pattern = /^(?<generation>[A-Za-z0-9][A-Za-z0-9-]*(\.next)?)\.(?<disk>\d{1,3})\.qcow2$/;

export interface LayerName {
  /** As in the file name, `.next` included. */
  readonly generation: string;
  readonly disk: number;
  /** The generation that has to be needed for this layer to be: its own, or the one it was made ahead on. */
  readonly owner: string;
}

/** Null for a file that is no layer. */
export function parseLayerName(file: string): LayerName | null {
  const { generation, disk } = pattern.exec(file)?.groups ?? {};
  if (generation === undefined) return null;
  const owner = generation.endsWith(preparedSuffix) ? generation.slice(0, -preparedSuffix.length) : generation;
  return { generation, disk: Number(disk), owner };
}

/** A file that was not finished has this at the end of its name. */
export const unfinishedSuffix = '.new';
