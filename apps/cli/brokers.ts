import type { BrokerView } from '@dormouse/views';
import type { Command } from 'commander';
import type { CommandContext } from './command-context';
import { ago, counted } from './show';
import { table } from './table';

/** `broker list` and `broker retire`: who tells of users, and who does no more. */
export function addBrokers(broker: Command, { answer, now }: CommandContext): void {
  broker
    .command('list')
    .description('those that send heartbeats, and whether they are heard')
    .action(() =>
      answer(async ({ client }) => {
        const value = await client.brokers();
        return { value, text: showBrokers(value, now()) };
      }),
    );
  broker
    .command('retire <source>')
    .description('it is gone for good: it is not waited for, and nothing that it has said of users counts any more')
    .requiredOption('--reason <text>', 'goes into the audit log')
    .action((source: string, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.retireBroker(source, reason);
        return { value, text: `${value.id} is retired; ${counted(value.desktops, 'desktop')} had heard of it` };
      }),
    );
}

function showBrokers(brokers: readonly BrokerView[], now: Date): string {
  return table(
    brokers,
    [
      { title: 'BROKER', text: ({ id }) => id },
      { title: 'HEARD', text: ({ heardAt }) => `${ago(heardAt, now)} ago` },
      { title: 'EVERY', text: ({ intervalSeconds }) => `${intervalSeconds} s` },
      { title: 'SILENT FOR', text: ({ silentSince }) => (silentSince === null ? '-' : ago(silentSince, now)) },
    ],
    'no broker sends heartbeats',
  );
}
