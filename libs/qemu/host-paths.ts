import { normalize, sep } from 'node:path';
import type { LaunchSpec } from './launch-spec';

/** Every file of the host that the fields of a launch spec name. Those in `extraArguments` are not known. */
export function hostPathsOf({ disks, kernel }: LaunchSpec): string[] {
  const boot = kernel === undefined ? [] : [kernel.image, ...(kernel.initrd === undefined ? [] : [kernel.initrd])];
  return [...disks.map(({ image }) => image), ...boot];
}

/** By the names alone: links are not followed. */
export function isBelow(directory: string, path: string): boolean {
  const at = normalize(directory);
  return normalize(path).startsWith(at.endsWith(sep) ? at : at + sep);
}
