import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../debian';
import { copyKernel, guestFiles, makeDisk, makeInitramfs } from './guest-parts';
import { guestSources, recipes } from './recipe';

const recipe = recipes.desktop;

/**
 * Builds a Debian system with a desktop into `target`. Needs no root: where it is not, mmdebstrap works in a user
 * namespace, and fakeroot remembers who owns what.
 * @returns the packages asked for
 * @throws DEPENDENCY_MISSING with what a program said that failed
 */
export async function buildDesktopGuest(target: string, onProgress: (step: string) => void): Promise<string[]> {
  const work = join(target, 'work');
  const root = join(work, 'root');
  await mkdir(root, { recursive: true });

  onProgress(
    `installing ${recipe.packages.length} packages and what they need into a directory: takes a minute or two`,
  );
  const archive = join(work, 'root.tar');
  const options = ['--quiet', '--variant=minbase', '--aptopt=Acquire::Languages "none"', '--dpkgopt=force-unsafe-io'];
  await runProgram('mmdebstrap', [...options, `--include=${recipe.packages.join(',')}`, recipe.suite, archive]);

  onProgress('making the disk');
  const owners = join(work, 'owners');
  const asRoot = ['fakeroot', '-i', owners, '-s', owners, '--'];
  await runProgram('fakeroot', ['-s', owners, '--', 'tar', '-xf', archive, '-C', root]);
  await rm(archive);
  await copyAs(asRoot, join(guestSources, 'desktop-rootfs'), root);
  await copyAs(asRoot, join(guestSources, 'line-protocol/line-protocol'), join(root, 'usr/sbin/line-protocol'));
  await makeDisk({ root, diskMiB: recipe.diskMiB, work, as: asRoot }, join(target, guestFiles.goldenImage));

  onProgress('making the initramfs');
  await copyKernel(root, join(target, guestFiles.kernel));
  await makeInitramfs(work, root, join(root, 'usr/bin/busybox'), join(target, guestFiles.initramfs));

  await rm(work, { recursive: true });
  return [...recipe.packages];
}

async function copyAs([program, ...args]: readonly string[], from: string, to: string): Promise<void> {
  await runProgram(program!, [
    ...args,
    'cp',
    '-r',
    '--preserve=mode,links',
    '--no-dereference',
    '--no-target-directory',
    from,
    to,
  ]);
}
