import { DormouseError } from '@dormouse/errors';
import type { AuditView } from '@dormouse/ledger';
import { Option, type Command } from 'commander';
import type { Answering } from './program';
import { table } from './table';

interface AuditOptions {
  readonly limit: number;
  readonly actor?: string;
  readonly action?: string;
  readonly target?: string;
}

export function addAudit(program: Command, answer: Answering): void {
  program
    .command('audit')
    .description('who changed or tried to change what, why, and what came of it; newest first, times in UTC')
    .addOption(new Option('--limit <lines>', 'how many').default(50).argParser(wholeNumber))
    .option('--actor <who>', 'only what this one did, such as key:admin')
    .option('--action <what>', 'only this, such as desktop.save')
    .option('--target <id>', 'only what was done to this one')
    .action(({ limit, ...narrowed }: AuditOptions) =>
      answer(async ({ client }) => {
        const value: AuditView[] = [];
        for await (const entry of client.audit(narrowed)) {
          if (value.length === limit) break;
          value.push(entry);
        }
        return { value, text: showAudit(value) };
      }),
    );
}

/** The audit log as a person reads it. */
function showAudit(entries: readonly AuditView[]): string {
  return table(
    entries,
    [
      { title: 'AT', text: ({ at }) => at.replace('T', ' ').slice(0, 19) },
      { title: 'WHO', text: ({ actor }) => actor },
      { title: 'WHAT', text: ({ action }) => action },
      { title: 'TO', text: ({ target }) => target },
      { title: 'CAME OF IT', text: ({ outcome }) => outcome },
      { title: 'WHY', text: ({ reason }) => reason ?? '-' },
    ],
    'nothing of this kind is in the audit log',
  );
}

function wholeNumber(text: string): number {
  if (/^\d{1,6}$/.test(text) && Number(text) > 0) return Number(text);
  throw new DormouseError('REQUEST_INVALID', `--limit ${text} should be a whole number, at least 1`);
}
