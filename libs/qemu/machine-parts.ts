import { DormouseError } from '@dormouse/errors';
import type { QmpClient } from './qmp-client';
import type { MachineParts } from './sleep-obstacles';

/** Where QEMU keeps the devices that were asked for, with and without a name, and memory backends. */
const containers = ['/machine/peripheral', '/machine/peripheral-anon', '/objects'] as const;
const child = /^child<(.+)>$/;
const unitBytes: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Asks a machine what it is made of. @throws QMP_FAILED also when its answer cannot be read */
export async function machineParts(qmp: QmpClient): Promise<MachineParts> {
  const [listed, network, memory, capabilities, migration] = await Promise.all([
    Promise.all(containers.map((path) => qmp.execute<{ type: string }[]>('qom-list', { path }))),
    monitor(qmp, 'info network'),
    monitor(qmp, 'info ramblock'),
    qmp.execute<{ capability: string; state: boolean }[]>('query-migrate-capabilities'),
    qmp.execute<{ 'blocked-reasons'?: string[] }>('query-migrate'),
  ]);
  const blocks = blocksIn(memory);
  if (blocks.length === 0) throw new DormouseError('QMP_FAILED', 'QEMU does not say what memory the machine has');
  return {
    types: listed.flat().flatMap(({ type }) => child.exec(type)?.[1] ?? []),
    netdevs: netdevsIn(network),
    blocks,
    capabilities: capabilities.filter(({ state }) => state).map(({ capability }) => capability),
    blockedReasons: migration['blocked-reasons'] ?? [],
  };
}

/** Two answers that QEMU gives to people only. */
function monitor(qmp: QmpClient, command: string): Promise<string> {
  return qmp.execute<string>('human-monitor-command', { 'command-line': command });
}

/** Lines such as `net0: index=0,type=user,net=10.0.2.0,…`, and indented below a card that uses them. */
export function netdevsIn(text: string): string[] {
  return [...text.matchAll(/index=\d+,type=([^,\s]+)/g)].map(([, type]) => type!).filter((type) => type !== 'nic');
}

/** A header, and lines such as `pc.ram    4 KiB  0x0000000000000000 …`. */
export function blocksIn(text: string): { name: string; pageBytes: number }[] {
  return [...text.matchAll(/^\s*(\S+)\s+(\d+) ((?:[KMG]i)?B)\s+0x/gm)].map(([, name, count, unit]) => ({
    name: name!,
    pageBytes: Number(count) * (unitBytes[unit!] ?? NaN),
  }));
}
