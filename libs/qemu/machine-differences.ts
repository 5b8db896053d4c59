import type { MachineParts } from './machine-parts';

/** Migration capabilities that Dormouse itself switches on and off. */
const own: ReadonlySet<string> = new Set([
  'auto-converge',
  'events',
  'pause-before-switchover',
  'postcopy-ram',
  'postcopy-blocktime',
]);

/**
 * How a machine that runs differs from what was built of its spec, a sentence each with what to do. A wake builds the machine of the spec: the memory
 * of another one would be misread by it, or refused.
 */
export function machineDifferences(built: MachineParts, now: MachineParts): string[] {
  return [
    ...changes(built.objects.map(device), now.objects.map(device), {
      added: 'was plugged in: unplug it (device_del, object-del)',
      gone: 'is gone: plug it in again, or stop the desktop and start it',
    }),
    ...changes(built.netdevs.map(netdev), now.netdevs.map(netdev), {
      added: 'was added: remove it (netdev_del)',
      gone: 'is gone: stop the desktop and start it',
    }),
    ...changes(built.nodes.map(node), now.nodes.map(node), {
      added: 'was added to its disks: take it out again (blockdev-del)',
      gone: 'is no longer what it was built with: stop the desktop and start it',
    }),
    ...changes(built.blocks.map(block), now.blocks.map(block), {
      added: 'was added: unplug the device that brought it',
      gone: 'is gone: stop the desktop and start it',
    }),
    ...(built.processors === now.processors
      ? []
      : [`it has ${now.processors} processors and was built with ${built.processors}: take them out again`]),
    ...switchedOn(now).map(
      (name) => `the migration capability ${name} is on: switch it off (migrate-set-capabilities)`,
    ),
  ];
}

/** What is at work on its disks now and would be torn off by a save. */
export function jobsInTheWay({ jobs }: MachineParts): string[] {
  return jobs.map(
    ({ name, type }) => `a ${type} job (${name}) works on its disks: wait for its end, or cancel it (block-job-cancel)`,
  );
}

function switchedOn({ capabilities }: MachineParts): string[] {
  return capabilities.filter((name) => !own.has(name));
}

type Named = readonly [name: string, inWords: string];

const device = ({ name, type }: MachineParts['objects'][number]): Named => [
  `${name}=${type}`,
  `${type} (${name.slice(name.lastIndexOf('/') + 1)})`,
];
const netdev = (type: string, index: number): Named => [`${index}=${type}`, `the host network ${type}`];
const node = ({ name, driver, file }: MachineParts['nodes'][number]): Named => [
  `${name}=${driver}:${file}`,
  `the disk node ${name} (${driver}, ${file})`,
];
const block = ({ name, bytes }: MachineParts['blocks'][number]): Named => [
  `${name}=${bytes}`,
  `memory ${name} of ${bytes / 1024} KiB`,
];

function changes(
  built: readonly Named[],
  now: readonly Named[],
  { added, gone }: { added: string; gone: string },
): string[] {
  const [was, is] = [new Map(built), new Map(now)];
  return [
    ...[...is].flatMap(([name, inWords]) => (was.has(name) ? [] : [`${inWords} ${added}`])),
    ...[...was].flatMap(([name, inWords]) => (is.has(name) ? [] : [`${inWords} ${gone}`])),
  ];
}
