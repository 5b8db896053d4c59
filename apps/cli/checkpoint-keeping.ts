import type { ApiClient } from '@dormouse/api-client';
import type { KeptCheckpointView } from '@dormouse/views';
import type { Command } from 'commander';
import { usualReason, type CommandContext } from './command-context';
import { showCheckpoints, showKept } from './show-kept';

/** `checkpoint list`, `pin` and `unpin`: which checkpoints a desktop keeps, asked of the api. */
export function addCheckpointKeeping(checkpoint: Command, { answer, now }: CommandContext): void {
  checkpoint
    .command('list <desktop>')
    .description('the checkpoints of a desktop, newest first, and why each is kept')
    .action((desktopId: string) =>
      answer(async ({ client }) => {
        const value: KeptCheckpointView[] = [];
        for await (const one of client.checkpoints(desktopId)) value.push(one);
        return { value, text: showCheckpoints(value, now()) };
      }),
    );
  addPinning('pin', 'keep a checkpoint whatever its pool’s policy says', (client, ...pin) =>
    client.pinCheckpoint(...pin),
  );
  addPinning('unpin', 'take its pin away: the pool’s policy decides, at once', (client, ...pin) =>
    client.unpinCheckpoint(...pin),
  );

  function addPinning(
    name: string,
    description: string,
    change: (client: ApiClient, ...pin: Parameters<ApiClient['pinCheckpoint']>) => Promise<KeptCheckpointView>,
  ): void {
    checkpoint
      .command(`${name} <desktop> <checkpoint>`)
      .description(description)
      .option('--reason <text>', 'goes into the audit log', usualReason)
      .action((desktopId: string, id: string, { reason }: { reason: string }) =>
        answer(async ({ client }) => {
          const value = await change(client, desktopId, id, reason);
          return { value, text: showKept(value) };
        }),
      );
  }
}
