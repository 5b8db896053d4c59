import { DormouseError } from '@dormouse/errors';
import type { Command } from 'commander';
import { addApiKeys } from './api-keys';
import { usualReason, type CommandContext } from './command-context';
import { rotateKeys } from './rotate-keys';
import { counted, showKeys, showRotation } from './show';

export function addKeys(keys: Command, context: CommandContext): void {
  const { answer, inJson, print, now } = context;
  addApiKeys(keys, context);
  keys
    .command('data')
    .description('which keys of checkpoints there are and what wraps them; never a key itself')
    .action(() =>
      answer(async ({ client }) => {
        const value = [];
        for await (const one of client.keys()) value.push(one);
        return { value, text: showKeys(value, now()) };
      }),
    );
  keys
    .command('rotate')
    .description('wrap all keys of checkpoints with a new key-encryption key; checkpoints stay as they are')
    .option('--reason <text>', 'goes into the audit log', usualReason)
    .option('--rewrap-only', 'without a new one: finish what was interrupted')
    .action(async (options: { reason: string; rewrapOnly?: boolean }) => {
      let rejected = 0;
      await answer(async ({ client }) => {
        const value = await rotateKeys(client, options, (progress) => {
          if (!inJson()) print(progress);
        });
        rejected = value.rejected.length;
        return { value, text: showRotation(value) };
      });
      if (rejected === 0) return;
      throw new DormouseError(
        'KEY_REJECTED',
        `${counted(rejected, 'key')} could not be unwrapped; the others are done`,
      );
    });
}
