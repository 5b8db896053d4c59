import { cp, copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { DebianPackages, runProgram } from '../debian';
import { copyKernel, firstExisting, guestFiles, makeDisk, makeInitramfs } from './guest-parts';
import { guestSources, recipes } from './recipe';

const recipe = recipes.small;

/**
 * Builds kernel, initramfs and golden disk image into `target` from the distribution's packages. Needs no root.
 * @returns the file names of the packages that went in
 * @throws DEPENDENCY_MISSING when a package or a program is not to be had.
 */
export async function buildSmallGuest(target: string, onProgress: (step: string) => void): Promise<string[]> {
  const work = join(target, 'work');
  await mkdir(work, { recursive: true });
  const packages = new DebianPackages(work);

  onProgress('fetching the kernel');
  const kernelPackage = await packages.firstAvailable(recipe.kernelPackages);
  const kernelTree = join(work, 'kernel');
  const kernelPackages = await packages.unpack(
    kernelPackage,
    (name) => /^linux-(image|modules)-\d/.test(name),
    kernelTree,
  );
  onProgress('fetching busybox and the guest agent');
  const busyboxTree = join(work, 'busybox');
  const busyboxPackages = await packages.unpack(recipe.busyboxPackage, () => false, busyboxTree);
  const agentTree = join(work, 'agent');
  const agentPackages = await packages.unpack(
    recipe.agentPackage,
    (name) => name.startsWith('lib') || name === 'zlib1g',
    agentTree,
  );
  const busybox = await firstExisting(busyboxTree, ['usr/bin/busybox', 'bin/busybox']);

  onProgress('making the initramfs');
  await copyKernel(kernelTree, join(target, guestFiles.kernel));
  await makeInitramfs(work, kernelTree, busybox, join(target, guestFiles.initramfs));

  onProgress('making the disk');
  const root = join(work, 'root');
  await makeRoot(root, busybox, agentTree);
  await makeDisk({ root, diskMiB: recipe.diskMiB, work }, join(target, guestFiles.goldenImage));

  await rm(work, { recursive: true });
  return [...kernelPackages, ...busyboxPackages, ...agentPackages];
}

async function makeRoot(root: string, busybox: string, agentTree: string): Promise<void> {
  await cp(join(guestSources, 'rootfs'), root, { recursive: true });
  for (const directory of ['dev', 'proc', 'sys', 'run', 'mem', 'tmp', 'root', 'var', 'usr/bin', 'usr/lib64']) {
    await mkdir(join(root, directory), { recursive: true });
  }
  for (const directory of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${directory}`, join(root, directory));
  await installBusybox(busybox, root);
  await copyFile(join(guestSources, 'line-protocol/line-protocol'), join(root, 'usr/sbin/line-protocol'));
  await installAgent(agentTree, root);
}

async function installBusybox(busybox: string, root: string): Promise<void> {
  await copyFile(busybox, join(root, 'usr/bin/busybox'));
  const applets = (await runProgram(busybox, ['--list-full'])).toString().split('\n');
  for (const applet of applets.filter((path) => /^(usr\/)?s?bin\/(?!busybox$)/.test(path))) {
    await symlink('/usr/bin/busybox', join(root, applet.startsWith('usr/') ? applet : `usr/${applet}`));
  }
}

/** The agent and the libraries that the package's own dynamic loader says it needs, nothing else of its packages. */
async function installAgent(agentTree: string, root: string): Promise<void> {
  const agent = join(agentTree, 'usr/sbin/qemu-ga');
  const loaderName = 'ld-linux-x86-64.so.2';
  const loader = await firstExisting(agentTree, [
    `usr/lib64/${loaderName}`,
    `lib64/${loaderName}`,
    `usr/lib/x86_64-linux-gnu/${loaderName}`,
    `lib/x86_64-linux-gnu/${loaderName}`,
  ]);
  const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'].map((path) => join(agentTree, path));
  const listing = await runProgram(loader, ['--inhibit-cache', '--library-path', libraries.join(':'), '--list', agent]);
  const target = join(root, 'usr/lib/x86_64-linux-gnu');
  await mkdir(target, { recursive: true });
  for (const [, name, path] of listing.toString().matchAll(/^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$/gm)) {
    if (name === undefined || path === undefined || basename(name) === loaderName) continue;
    if (!path.startsWith(agentTree)) {
      throw new DormouseError('DEPENDENCY_MISSING', `the guest agent needs ${name}, which none of its packages holds`);
    }
    await copyFile(path, join(target, name));
  }
  await copyFile(loader, join(root, 'usr/lib64', loaderName));
  await copyFile(agent, join(root, 'usr/sbin/qemu-ga'));
}
