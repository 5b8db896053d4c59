import type { HostChange } from '@dormouse/api-client';
import type { HostView } from '@dormouse/views';
import type { Command } from 'commander';
import { usualReason, type CommandContext } from './command-context';
import { ago } from './show';
import { table } from './table';

const changes: Readonly<Record<HostChange, string>> = {
  cordon: 'give it no more machines; those it has stay',
  uncordon: 'give it machines again',
  drain: 'save its desktops; those in use are woken on another host',
  fence: 'vouch that it is dead: its desktops are given up there, and may start elsewhere. Make sure that it is off',
};

export function addHosts(host: Command, { answer, now }: CommandContext): void {
  host
    .command('list')
    .description('every host that was ever announced')
    .action(() =>
      answer(async ({ client }) => {
        const value = await client.hosts();
        return { value, text: showHosts(value, now()) };
      }),
    );
  for (const [change, description] of Object.entries(changes) as [HostChange, string][]) {
    host
      .command(`${change} <id>`)
      .description(description)
      .option('--reason <text>', 'goes into the audit log', usualReason)
      .action((id: string, { reason }: { reason: string }) =>
        answer(async ({ client }) => {
          const value = await client.changeHost(id, change, reason);
          return { value, text: showHosts([value], now()) };
        }),
      );
  }
}

function showHosts(hosts: readonly HostView[], now: Date): string {
  const troubles = hosts.flatMap(({ id, alive, troubles }) =>
    alive ? troubles.map(({ code, message }) => `${id}: ${message} (${code})`) : [],
  );
  return [hostTable(hosts, now), ...troubles].join('\n');
}

function hostTable(hosts: readonly HostView[], now: Date): string {
  return table(
    hosts,
    [
      { title: 'HOST', text: ({ id }) => id },
      { title: 'ALIVE', text: ({ alive }) => (alive ? 'yes' : 'no') },
      { title: 'HEARD FROM', text: ({ seenAt }) => `${ago(seenAt, now)} ago` },
      { title: 'WANTED', text: ({ intent }) => intent },
      { title: 'MACHINES', text: ({ machines }) => String(machines) },
      { title: 'MEMORY', text: ({ usedMiB, capabilities }) => `${usedMiB} of ${memoryOf(capabilities)} MiB` },
      {
        title: 'QEMU',
        text: ({ capabilities }) => `${said(capabilities['qemuVersion'])}, ${said(capabilities['accelerator'])}`,
      },
    ],
    'no host yet: a worker announces its host when it starts',
  );
}

function memoryOf(capabilities: HostView['capabilities']): string {
  return said(capabilities['memoryMiB']);
}

function said(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '?';
}
