import { cp, copyFile, mkdir, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { DebianPackages } from './debian-packages';
import { kernelModulesInLoadOrder } from './kernel-modules';
import { guestSources, recipe } from './recipe';
import { runProgram } from './run-program';

export const guestFiles = { kernel: 'vmlinuz', initramfs: 'initramfs.cpio', goldenImage: 'golden.qcow2' } as const;

/**
 * Builds kernel, initramfs and golden disk image into `target` from the distribution's packages. Needs no root.
 * @returns the file names of the packages that went in
 * @throws DEPENDENCY_MISSING when a package or a program is not to be had.
 */
export async function buildGuest(target: string, onProgress: (step: string) => void): Promise<string[]> {
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
  await makeInitramfs(join(work, 'initramfs'), kernelTree, busybox, join(target, guestFiles.initramfs));

  onProgress('making the disk');
  await makeGoldenImage(work, busybox, agentTree, join(target, guestFiles.goldenImage));

  await rm(work, { recursive: true });
  return [...kernelPackages, ...busyboxPackages, ...agentPackages];
}

async function copyKernel(kernelTree: string, target: string): Promise<void> {
  const boot = join(kernelTree, 'boot');
  const image = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) throw new DormouseError('DEPENDENCY_MISSING', 'the kernel package holds no boot/vmlinuz');
  await copyFile(join(boot, image), target);
}

async function makeInitramfs(tree: string, kernelTree: string, busybox: string, target: string): Promise<void> {
  await cp(join(guestSources, 'initramfs'), tree, { recursive: true });
  await mkdir(join(tree, 'bin'));
  await copyFile(busybox, join(tree, 'bin/busybox'));
  await symlink('busybox', join(tree, 'bin/sh'));
  const modules = await firstExisting(kernelTree, ['usr/lib/modules', 'lib/modules']);
  const [version = ''] = await readdir(modules);
  await mkdir(join(tree, 'modules'));
  const inOrder = await kernelModulesInLoadOrder(join(modules, version), recipe.kernelModules);
  for (const [index, module] of inOrder.entries()) {
    // The shell's `*` sorts by name, so the number in front is the load order.
    await writeFile(join(tree, 'modules', `${String(index).padStart(2, '0')}-${module.name}.ko`), module.content);
  }
  const names = ['.', ...(await readdir(tree, { recursive: true }))].join('\n');
  // Not compressed: the emulated CPU would take longer to unpack it than QEMU takes to read it.
  const archive = await runProgram('cpio', ['-o', '-H', 'newc', '--owner=0:0', '--quiet'], { cwd: tree, input: names });
  await writeFile(target, archive);
}

async function makeGoldenImage(work: string, busybox: string, agentTree: string, target: string): Promise<void> {
  const root = join(work, 'rootfs');
  await cp(join(guestSources, 'rootfs'), root, { recursive: true });
  for (const directory of ['dev', 'proc', 'sys', 'run', 'mem', 'tmp', 'root', 'var', 'usr/bin', 'usr/lib64']) {
    await mkdir(join(root, directory), { recursive: true });
  }
  for (const directory of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${directory}`, join(root, directory));
  await installBusybox(busybox, root);
  await installAgent(agentTree, root);

  const raw = join(work, 'golden.raw');
  await writeFile(raw, '');
  await truncate(raw, recipe.diskMiB * 1024 * 1024);
  await runProgram('mke2fs', [
    ...['-q', '-t', 'ext4', '-L', 'golden', '-m', '0', '-J', 'size=4'],
    // Nothing left for the guest to initialise in the background: an idle guest has to be idle.
    ...['-E', 'root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0'],
    ...['-d', root, raw],
  ]);
  await runProgram('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, target]);
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

/** Where a distribution has merged /bin and /lib into /usr, its packages hold their files there. */
async function firstExisting(tree: string, candidates: readonly string[]): Promise<string> {
  for (const candidate of candidates) {
    const path = join(tree, candidate);
    const entries = await readdir(dirname(path)).catch((): string[] => []);
    if (entries.includes(basename(path))) return path;
  }
  throw new DormouseError('DEPENDENCY_MISSING', `the packages in ${tree} hold none of ${candidates.join(', ')}`);
}
