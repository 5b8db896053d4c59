import type { Command } from 'commander';
import { addCheckpointKeeping } from './checkpoint-keeping';
import type { KeyOptions } from './checkpoint-tools';
import type { CommandContext } from './command-context';

/**
 * `checkpoint list`, `pin` and `unpin` ask the api. The others run on a host, with the configuration of its worker: they read storage,
 * disks and keys themselves, so that what they say of a checkpoint does not depend on the processes that made it.
 */
export function addCheckpoints(checkpoint: Command, context: CommandContext): void {
  addCheckpointKeeping(checkpoint, context);
  checkpoint
    .command('inspect <desktop> [checkpoint]')
    .description('what a checkpoint is made of; the current one when none is named')
    .option('--no-keys', 'do without the keys: who wrote it is not checked')
    .action((desktopId: string, id: string | undefined, options: KeyOptions) =>
      tools().inspect(context, desktopId, id, options),
    );
  checkpoint
    .command('verify <desktop> [checkpoint]')
    .description(
      'read all of a checkpoint and check it; the current one when none is named. Exit code 1: something is wrong',
    )
    .option('--no-keys', 'do without the keys: sizes and digests only')
    .action((desktopId: string, id: string | undefined, options: KeyOptions) =>
      tools().verify(context, desktopId, id, options),
    );
  checkpoint
    .command('export <desktop> [checkpoint]')
    .description(
      'write a checkpoint as a migration stream that QEMU loads by itself; the current one when none is named',
    )
    .requiredOption('-o, --output <file>', 'where to; `-` is the standard output')
    .action((desktopId: string, id: string | undefined, options: { output: string }) =>
      tools().exportCheckpoint(context, desktopId, id, options),
    );
  checkpoint
    .command('trace <desktop> [checkpoint]')
    .description('how each wake of a checkpoint went; of the current one when none is named')
    .option('--svg <file>', 'draw what the last of them asked for, over time and over memory')
    .action((desktopId: string, id: string | undefined, options: { svg?: string }) =>
      tools().trace(context, desktopId, id, options),
    );
  checkpoint
    .command('gc [desktop]')
    .description(
      'remove what no checkpoint needs any more; workers do so by themselves. Exit code 1: something was left alone',
    )
    .option('--dry-run', 'remove nothing, and say what would be')
    .action((desktopId: string | undefined, options: { dryRun?: boolean }) =>
      tools().collect(context, desktopId, options),
    );
}

/** Reading checkpoints takes libraries that are slow to load; to list or pin one takes none of them. */
function tools(): typeof import('./checkpoint-tools') {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return require('./checkpoint-tools') as typeof import('./checkpoint-tools');
}
