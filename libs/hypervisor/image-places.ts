import { realpath } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { isBelow, pathsInArguments, type LaunchSpec } from '@dormouse/qemu';
import { referencesOf } from './images/image-references';

/** More than an image lies on. */
const mostFiles = 32;
/** Of these it is known which other files they lead to. */
const knownFormats: readonly (string | null)[] = ['qcow2', 'raw'];

/** The directories of a host that machines may be made of. */
export class ImagePlaces {
  /** @param directories null: any file will do */
  constructor(private readonly directories: readonly string[] | null) {}

  /**
   * Looks where the files of a launch spec really are, and the files that those lie on: a link or an image inside of an allowed directory leads
   * nowhere else.
   * @returns the spec with each file by its real name: a link that leads elsewhere later is not followed
   * @throws LAUNCH_SPEC_FORBIDDEN naming the paths; whether there is anything behind them is not told
   */
  async check(launchSpec: LaunchSpec): Promise<LaunchSpec> {
    if (this.directories === null) return launchSpec;
    const allowed = await Promise.all(this.directories.map(reallyAt));
    const outside: string[] = [];
    const found = async (path: string): Promise<string> => {
      const real = await reallyAt(path);
      if (!isAbsolute(path) || !allowed.some((directory) => isBelow(directory, real))) outside.push(path);
      return real;
    };
    const disks = await Promise.all(
      launchSpec.disks.map(async (disk) => ({ ...disk, image: await found(disk.image) })),
    );
    const { kernel } = launchSpec;
    const boot = kernel && {
      ...kernel,
      image: await found(kernel.image),
      ...(kernel.initrd !== undefined && { initrd: await found(kernel.initrd) }),
    };
    const more = await Promise.all(pathsInArguments(launchSpec.extraArguments).map(found));
    // Only what may be looked at is looked into.
    const images = [...disks.filter(({ format }) => format === 'qcow2').map(({ image }) => image), ...more];
    if (outside.length === 0) for (const image of images) outside.push(...(await leadsOutside(image, allowed)));
    if (outside.length === 0) return { ...launchSpec, disks, ...(boot !== undefined && { kernel: boot }) };
    throw new DormouseError(
      'LAUNCH_SPEC_FORBIDDEN',
      `${outside.join(', ')}: not in a directory that IMAGE_DIRS names on this host. Put the file there, or have the directory added`,
      { paths: outside, directories: this.directories },
    );
  }
}

/** What of the chain below an image is not allowed, in words. A chain without an end counts as well. */
async function leadsOutside(image: string, allowed: readonly string[]): Promise<string[]> {
  const waiting = [image];
  for (let looked = 0; waiting.length > 0; looked++) {
    const file = waiting.pop()!;
    if (looked === mostFiles) return [`what lies below ${image} without an end`];
    const references = await unlessMissing(referencesOf(file));
    const { backing = null, dataFile = null } = references ?? {};
    for (const name of [backing?.name, dataFile]) {
      if (name === undefined || name === null) continue;
      // Whatever has a colon may be a protocol of QEMU's.
      const real = name.includes(':') || name === '' ? null : await reallyAt(resolve(dirname(file), name));
      if (real === null || !allowed.some((directory) => isBelow(directory, real))) return [`${name}, below ${file}`];
      if (name === backing?.name) {
        if (!knownFormats.includes(backing.format))
          return [`${name}, below ${file} as ${backing.format ?? 'any format'}`];
        if (backing.format === 'qcow2') waiting.push(real);
      }
    }
  }
  return [];
}

/** What is not there leads nowhere: whoever opens it says so. */
async function reallyAt(path: string): Promise<string> {
  return (await unlessMissing(realpath(path))) ?? path;
}

async function unlessMissing<T>(found: Promise<T>): Promise<T | null> {
  return found.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'EISDIR') return null;
    throw error;
  });
}
