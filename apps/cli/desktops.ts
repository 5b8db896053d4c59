import type { DesktopCommand } from '@dormouse/api-client';
import type { Command } from 'commander';
import { usualReason, type CommandContext } from './command-context';
import { addDesktopPlans } from './desktop-plans';
import { readJsonFile } from './read-json-file';
import { showDesktop, showDesktops, showOperation } from './show';

const commands: Readonly<Record<DesktopCommand, string>> = {
  start: 'boot a desktop that is off',
  save: 'put a desktop to sleep now',
  restore: 'wake a desktop that sleeps or is restore-blocked',
  stop: 'power a desktop off; what is only in its memory is lost',
};

const goingBack =
  'an older one that is kept (see `checkpoint list`): the desktop goes on from there, ' +
  'and what its user did after that moment is gone from it';

interface CommandOptions {
  readonly reason: string;
  readonly force?: boolean;
  readonly fresh?: boolean;
  readonly checkpoint?: string;
}

export function addDesktops(desktop: Command, context: CommandContext): void {
  const { answer, now } = context;
  desktop
    .command('list')
    .description('every desktop and its state')
    .action(() =>
      answer(async ({ client }) => {
        const desktops = [];
        for await (const one of client.desktops()) desktops.push(one);
        return { value: desktops, text: showDesktops(desktops, now()) };
      }),
    );
  desktop
    .command('show <id>')
    .description('one desktop')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.desktop(id);
        return { value, text: showDesktop(value, now()) };
      }),
    );
  desktop
    .command('put <id> <spec.json>')
    .description('register a desktop, or change one that is off')
    .option('--pool <id>', 'its pool', 'default')
    .action((id: string, file: string, { pool }: { pool: string }) =>
      answer(async ({ client }) => {
        const value = await client.putDesktop(id, { poolId: pool, launchSpec: await readJsonFile(file) });
        const text = 'desktopId' in value ? showOperation(value, now()) : showDesktop(value, now());
        return { value, text };
      }),
    );
  for (const [command, description] of Object.entries(commands) as [DesktopCommand, string][]) {
    const line = desktop
      .command(`${command} <id>`)
      .description(description)
      .option('--reason <text>', 'goes into the audit log', usualReason);
    if (command === 'save' || command === 'stop') line.option('--force', 'also when a user is connected');
    if (command === 'save') line.option('--fresh', 'not content with one under way that may be called off');
    if (command === 'restore') line.option('--checkpoint <id>', goingBack);
    line.action((id: string, { checkpoint: checkpointId, ...options }: CommandOptions) =>
      answer(async ({ client }) => {
        const named = checkpointId === undefined ? {} : { checkpointId };
        const value = await client.command(id, command, { ...options, ...named });
        return { value, text: showOperation(value, now()) };
      }),
    );
  }
  desktop
    .command('delete <id>')
    .description('forget a desktop that is off or saved, with its disks and checkpoints')
    .option('--reason <text>', 'goes into the audit log', usualReason)
    .action((id: string, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        await client.deleteDesktop(id, reason);
        return { value: { deleted: id }, text: `${id} is deleted` };
      }),
    );
  addDesktopPlans(desktop, context);
}
