import { Argument, type Command } from 'commander';
import { DormouseError } from '@dormouse/errors';
import type { Consent } from '@dormouse/session';
import { parseInstant } from '@dormouse/text';
import { usualReason, type CommandContext } from './command-context';
import { showDesktop, showOperation } from './show';

/** In the order of what they lose; a table, so that none is missing. */
const consents: Readonly<Record<Consent, true>> = {
  'own-checkpoint': true,
  'older-checkpoint': true,
  'cold-boot': true,
};

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `desktop explain`, `consent`, `hold`, `unhold`, `prewarm` and `broker`: what becomes of a desktop, and who may say so. */
export function addDesktopPlans(desktop: Command, { answer, now }: CommandContext): void {
  desktop
    .command('explain <id>')
    .description('why it is in its state, what comes next and when, and why something did not happen')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.explain(id);
        return { value, text: value.sentence };
      }),
    );
  desktop
    .command('consent <id>')
    .description(
      'have a step taken with one that cannot be woken, though it loses work: `explain` says which, and what is lost',
    )
    .addArgument(new Argument('<to>').choices(Object.keys(consents)))
    .requiredOption('--reason <text>', 'goes into the audit log')
    .action((id: string, to: Consent, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.consent(id, { to, reason });
        return { value, text: showOperation(value, now()) };
      }),
    );
  withReason(desktop.command('hold <id> <until>'))
    .description('keep it from being put to sleep until a time, like 2030-01-31T18:00:00Z or 90m, 8h, 2d from now')
    .action((id: string, until: string, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.hold(id, { until: instant(until, now()), reason });
        return { value, text: showDesktop(value, now()) };
      }),
    );
  withReason(desktop.command('unhold <id>'))
    .description('end the hold: the pool’s policy decides, at once')
    .action((id: string, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.unhold(id, reason);
        return { value, text: showDesktop(value, now()) };
      }),
    );
  withReason(desktop.command('prewarm <id>'))
    .description('boot or wake it ahead of its user')
    .option('--until <time>', 'and hold it until then, as `hold` does')
    .action((id: string, { reason, until }: { reason: string; until?: string }) =>
      answer(async ({ client }) => {
        const held = until === undefined ? {} : { until: instant(until, now()) };
        const value = await client.prewarm(id, { reason, ...held });
        return { value, text: showDesktop(value, now()) };
      }),
    );
  withReason(desktop.command('broker <id> [source]'))
    .description('give it to another broker; without one, to the broker that speaks of it next')
    .action((id: string, source: string | undefined, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.nameBroker(id, { source: source ?? null, reason });
        return { value, text: showDesktop(value, now()) };
      }),
    );
}

function withReason(command: Command): Command {
  return command.option('--reason <text>', 'goes into the audit log', usualReason);
}

/** @throws REQUEST_INVALID for what is neither a time nor a time from now on */
function instant(text: string, now: Date): string {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const at =
    unit === undefined ? parseInstant(text) : new Date(now.getTime() + Number(count) * unitMs[unit as 'm' | 'h' | 'd']);
  if (at !== null) return at.toISOString();
  throw new DormouseError('REQUEST_INVALID', `${text} is no time: write 2030-01-31T18:00:00Z, or 90m, 8h, 2d from now`);
}
