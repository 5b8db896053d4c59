import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DormouseError } from '@dormouse/errors';
import { runProgram } from '../debian';

export interface KernelModule {
  readonly name: string;
  /** The uncompressed ELF object, as insmod takes it. */
  readonly content: Buffer;
}

/**
 * The wanted modules, each after the ones it depends on. What is built into the kernel is left out.
 * The order is read from the modules themselves: `modules.dep` is made when a kernel package is installed, not shipped.
 * @param modulesDirectory lib/modules/<version> of an unpacked kernel package
 * @throws DEPENDENCY_MISSING when a required module is neither there nor built in.
 */
export async function kernelModulesInLoadOrder(
  modulesDirectory: string,
  wanted: readonly { readonly name: string; readonly required: boolean }[],
): Promise<KernelModule[]> {
  const files = new Map<string, string>();
  for (const entry of await readdir(modulesDirectory, { recursive: true })) {
    if (/\.ko(\.xz|\.zst|\.gz)?$/.test(entry)) files.set(moduleName(entry), join(modulesDirectory, entry));
  }
  const builtin = (await readFile(join(modulesDirectory, 'modules.builtin'), 'utf8')).split('\n').map(moduleName);

  const ordered: KernelModule[] = [];
  const visited = new Set<string>(builtin);
  const visit = async (name: string, required: boolean): Promise<void> => {
    if (visited.has(name)) return;
    visited.add(name);
    const file = files.get(name);
    if (file === undefined) {
      if (!required) return;
      throw new DormouseError('DEPENDENCY_MISSING', `the kernel in ${modulesDirectory} has no module ${name}`);
    }
    const content = await readModule(file);
    const { depends, softDepends } = moduleInfo(content);
    for (const dependency of softDepends) await visit(dependency, false);
    for (const dependency of depends) await visit(dependency, true);
    ordered.push({ name, content });
  };
  for (const { name, required } of wanted) await visit(name, required);
  return ordered;
}

/** Hyphens and underscores are the same to the kernel; file names use either. */
function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\..*)?$/, '')
    .replaceAll('-', '_');
}

async function readModule(file: string): Promise<Buffer> {
  if (file.endsWith('.xz')) return await runProgram('xz', ['-dc', file]);
  if (file.endsWith('.zst')) return await runProgram('zstd', ['-dc', '-q', file]);
  const content = await readFile(file);
  return file.endsWith('.gz') ? gunzipSync(content) : content;
}

/** The section .modinfo is a row of NUL-terminated `key=value` strings (Linux, include/linux/module.h, MODULE_INFO). */
function moduleInfo(content: Buffer): { depends: string[]; softDepends: string[] } {
  return {
    depends: names(value(content, 'depends='), ','),
    softDepends: names(value(content, 'softdep=pre: '), ' '),
  };
}

function value(content: Buffer, key: string): string {
  const at = content.indexOf(`\0${key}`);
  if (at < 0) return '';
  const start = at + 1 + key.length;
  return content.toString('latin1', start, content.indexOf(0, start));
}

function names(list: string, separator: string): string[] {
  return list.split(separator).filter(Boolean).map(moduleName);
}
