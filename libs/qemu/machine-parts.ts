import { DormouseError } from '@dormouse/errors';
import type { QmpClient } from './qmp-client';

/**
 * What a machine is made of, in QEMU's own names. One description for all that depends on it: what is refused when a desktop is registered, and
 * whether a machine that is to be saved is still the one that was built.
 */
export interface MachineParts {
  /** Devices, memory backends and other objects that were asked for, by name. */
  readonly objects: readonly { readonly name: string; readonly type: string }[];
  /** Types of its devices and of its memory backends. */
  readonly types: readonly string[];
  /** Types of the host's ends of its network cards. */
  readonly netdevs: readonly string[];
  /** Blocks of memory and the size of their pages, in bytes. */
  readonly blocks: readonly { readonly name: string; readonly pageBytes: number; readonly bytes: number }[];
  /** Backends that main memory, and perhaps some device, is made of. */
  readonly backends: readonly { readonly name: string; readonly bytes: number }[];
  readonly mainMemoryBytes: number;
  readonly processors: number;
  /** The graph of its disks. */
  readonly nodes: readonly { readonly name: string; readonly driver: string; readonly file: string }[];
  /** Backups, mirrors and the like that are under way. */
  readonly jobs: readonly { readonly name: string; readonly type: string }[];
  /** Migration capabilities that are on. */
  readonly capabilities: readonly string[];
  /** `blocked-reasons` of query-migrate. */
  readonly blockedReasons: readonly string[];
}

/** Where QEMU keeps the devices that were asked for, with and without a name, and memory backends. */
const containers = ['/machine/peripheral', '/machine/peripheral-anon', '/objects'] as const;
const child = /^child<(.+)>$/;
const unitBytes: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Asks a machine what it is made of. @throws QMP_FAILED also when its answer cannot be read */
export async function machineParts(qmp: QmpClient): Promise<MachineParts> {
  const [listed, network, memory, capabilities, migration, backends, summary, processors, nodes, jobs] =
    await Promise.all([
      Promise.all(containers.map((path) => qmp.execute<{ name: string; type: string }[]>('qom-list', { path }))),
      monitor(qmp, 'info network'),
      monitor(qmp, 'info ramblock'),
      qmp.execute<{ capability: string; state: boolean }[]>('query-migrate-capabilities'),
      qmp.execute<{ 'blocked-reasons'?: string[] }>('query-migrate'),
      qmp.execute<{ id?: string; size: number }[]>('query-memdev'),
      qmp.execute<{ 'base-memory': number }>('query-memory-size-summary'),
      qmp.execute<unknown[]>('query-cpus-fast'),
      qmp.execute<{ 'node-name'?: string; drv: string; file: string }[]>('query-named-block-nodes', { flat: true }),
      qmp.execute<{ device: string; type: string }[]>('query-block-jobs'),
    ]);
  const blocks = blocksIn(memory);
  if (blocks.length === 0) throw new DormouseError('QMP_FAILED', 'QEMU does not say what memory the machine has');
  const objects = listed.flatMap((children, index) => objectsIn(containers[index]!, children));
  return {
    objects,
    types: objects.map(({ type }) => type),
    netdevs: netdevsIn(network),
    blocks,
    backends: backends.map(({ id, size }) => ({ name: id ?? '?', bytes: size })),
    mainMemoryBytes: summary['base-memory'],
    processors: processors.length,
    nodes: nodes.map(({ 'node-name': name, drv, file }) => ({ name: name ?? '?', driver: drv, file })),
    jobs: jobs.map(({ device, type }) => ({ name: device, type })),
    capabilities: capabilities.filter(({ state }) => state).map(({ capability }) => capability),
    blockedReasons: migration['blocked-reasons'] ?? [],
  };
}

function objectsIn(container: string, children: readonly { name: string; type: string }[]) {
  return children.flatMap(({ name, type }) => {
    const made = child.exec(type)?.[1];
    return made === undefined ? [] : [{ name: `${container}/${name}`, type: made }];
  });
}

/** Two answers that QEMU gives to people only. */
function monitor(qmp: QmpClient, command: string): Promise<string> {
  return qmp.execute<string>('human-monitor-command', { 'command-line': command });
}

/** Lines such as `net0: index=0,type=user,net=10.0.2.0,…`, and indented below a card that uses them. */
export function netdevsIn(text: string): string[] {
  return [...text.matchAll(/index=\d+,type=([^,\s]+)/g)].map(([, type]) => type!).filter((type) => type !== 'nic');
}

/** A header, and lines such as `pc.ram    4 KiB  0x0000000000000000 0x0000000008000000 0x0000000008000000`: offset, used, total. */
export function blocksIn(text: string): { name: string; pageBytes: number; bytes: number }[] {
  const lines = text.matchAll(/^\s*(\S+)\s+(\d+) ((?:[KMG]i)?B)\s+0x[0-9a-f]+\s+0x[0-9a-f]+\s+(0x[0-9a-f]+)/gim);
  return [...lines].map(([, name, count, unit, total]) => ({
    name: name!,
    pageBytes: Number(count) * (unitBytes[unit!] ?? NaN),
    bytes: Number(total),
  }));
}
