import { cp, copyFile, mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { runProgram } from '../debian';
import { kernelModulesInLoadOrder } from './kernel-modules';
import { guestSources, kernelModules } from './recipe';

/** What every guest is made of, as files of its directory in the cache. */
export const guestFiles = { kernel: 'vmlinuz', initramfs: 'initramfs.cpio', goldenImage: 'golden.qcow2' } as const;

/** @param tree of an unpacked kernel package, or of a whole system */
export async function copyKernel(tree: string, target: string): Promise<void> {
  const boot = join(tree, 'boot');
  const image = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) throw new DormouseError('DEPENDENCY_MISSING', 'the kernel package holds no boot/vmlinuz');
  await copyFile(join(boot, image), target);
}

/** The archive that loads the drivers and mounts the disk. @param work where its tree is put together */
export async function makeInitramfs(work: string, kernelTree: string, busybox: string, target: string): Promise<void> {
  const tree = join(work, 'initramfs');
  await cp(join(guestSources, 'initramfs'), tree, { recursive: true });
  await mkdir(join(tree, 'bin'));
  await copyFile(busybox, join(tree, 'bin/busybox'));
  await symlink('busybox', join(tree, 'bin/sh'));
  const modules = await firstExisting(kernelTree, ['usr/lib/modules', 'lib/modules']);
  const [version = ''] = await readdir(modules);
  await mkdir(join(tree, 'modules'));
  const inOrder = await kernelModulesInLoadOrder(join(modules, version), kernelModules);
  for (const [index, module] of inOrder.entries()) {
    // The shell's `*` sorts by name, so the number in front is the load order.
    await writeFile(join(tree, 'modules', `${String(index).padStart(2, '0')}-${module.name}.ko`), module.content);
  }
  const names = ['.', ...(await readdir(tree, { recursive: true }))].join('\n');
  // Not compressed: the emulated CPU would take longer to unpack it than QEMU takes to read it.
  const archive = await runProgram('cpio', ['-o', '-H', 'newc', '--owner=0:0', '--quiet'], { cwd: tree, input: names });
  await writeFile(target, archive);
}

/** A disk with one ext4 file system that holds a tree. @param as a program and its arguments to run the tools under */
export async function makeDisk(
  { root, diskMiB, work, as = [] }: { root: string; diskMiB: number; work: string; as?: readonly string[] },
  target: string,
): Promise<void> {
  const raw = join(work, 'golden.raw');
  await writeFile(raw, '');
  await truncate(raw, diskMiB * 1024 * 1024);
  const [program = '', ...args] = [...as, 'mke2fs'];
  await runProgram(program, [
    ...args,
    ...['-q', '-t', 'ext4', '-b', '4096', '-L', 'golden', '-m', '0', '-J', 'size=4'],
    // Nothing left for the guest to initialise in the background: an idle guest has to be idle.
    ...['-E', 'root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0'],
    ...['-d', root, raw],
  ]);
  await runProgram('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, target]);
}

/** Where a distribution has merged /bin and /lib into /usr, its packages hold their files there. */
export async function firstExisting(tree: string, candidates: readonly string[]): Promise<string> {
  for (const candidate of candidates) {
    const path = join(tree, candidate);
    const entries = await readdir(dirname(path)).catch((): string[] => []);
    if (entries.includes(basename(path))) return path;
  }
  throw new DormouseError('DEPENDENCY_MISSING', `the packages in ${tree} hold none of ${candidates.join(', ')}`);
}
