import type { Command } from 'commander';
import { usualReason, type CommandContext } from './command-context';
import { showOperation, showOperations } from './show';

export function addOperations(operation: Command, { answer, now }: CommandContext): void {
  operation
    .command('show <id>')
    .description('one operation')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.operation(id);
        return { value, text: showOperation(value, now()) };
      }),
    );
  operation
    .command('list <desktopId>')
    .description('the operations of a desktop, newest first')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.operationsOf(id);
        return { value, text: showOperations(value, now()) };
      }),
    );
  operation
    .command('cancel <id>')
    .description('call a save off, or what no worker has taken yet')
    .option('--reason <text>', 'goes into the audit log', usualReason)
    .action((id: string, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.cancel(id, reason);
        return { value, text: showOperation(value, now()) };
      }),
    );
}
