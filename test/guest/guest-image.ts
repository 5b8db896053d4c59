import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { buildOnce } from '../debian';
import { buildDesktopGuest } from './build-desktop-guest';
import { buildSmallGuest } from './build-small-guest';
import { guestFiles } from './guest-parts';
import { commandLine, guestSources, kernelModules, recipes, type GuestKind } from './recipe';

/** Absolute paths of what QEMU boots. The golden image is only ever the backing file of an overlay. */
export interface GuestImage {
  readonly kernel: string;
  readonly initramfs: string;
  readonly goldenImage: string;
  readonly commandLine: string;
}

const builders = { small: buildSmallGuest, desktop: buildDesktopGuest } as const;

export function defaultGuestCache(): string {
  return resolve(process.env['DATA_DIR'] ?? '.dormouse', 'cache', 'guest');
}

/**
 * The guest of the present recipe, built now if the cache has none.
 *
 * The key is the recipe and the distribution's release, not the versions of its packages: a cached guest must serve
 * without network, and the same checkpoints must wake on it after the distribution has released a kernel update.
 * `guest.json` in the directory says which versions it was built from.
 */
export async function ensureGuestImage(
  cacheDirectory: string,
  onProgress: (step: string) => void = () => undefined,
  kind: GuestKind = 'small',
): Promise<GuestImage> {
  const cache = resolve(cacheDirectory);
  const recipe = { ...recipes[kind], kernelModules, commandLine };
  const directory = join(cache, await recipeHash(recipe));
  await buildOnce(directory, async (building) => {
    const packages = await builders[kind](building, onProgress);
    await writeFile(join(building, 'guest.json'), `${JSON.stringify({ ...recipe, packages }, null, 2)}\n`);
  });
  return {
    kernel: join(directory, guestFiles.kernel),
    initramfs: join(directory, guestFiles.initramfs),
    goldenImage: join(directory, guestFiles.goldenImage),
    commandLine,
  };
}

async function recipeHash(recipe: { readonly trees: readonly string[] }): Promise<string> {
  const hash = createHash('sha256')
    .update(JSON.stringify(recipe))
    .update(await distributionRelease());
  for (const tree of recipe.trees) {
    const root = join(guestSources, tree);
    const entries = await readdir(root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    for (const file of files.sort()) {
      hash.update(`\0${file.slice(guestSources.length)}\0`).update(await readFile(file));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

async function distributionRelease(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8');
  return release
    .split('\n')
    .filter((line) => /^(ID|VERSION_ID)=/.test(line))
    .join('\n');
}
