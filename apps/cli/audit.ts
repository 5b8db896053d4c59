import { DormouseError } from '@dormouse/errors';
import type { AuditView } from '@dormouse/views';
import { Option, type Command } from 'commander';
import type { CommandContext } from './command-context';
import { table } from './table';

interface AuditOptions {
  readonly limit: number;
  readonly actor?: string;
  readonly action?: string;
  readonly target?: string;
}

export function addAudit(audit: Command, { openAccess, print, answer }: CommandContext): void {
  audit
    .addOption(new Option('--limit <lines>', 'how many').default(50).argParser(wholeNumber))
    .option('--actor <who>', 'only what this one did, such as key:admin')
    .option('--action <what>', 'only this, such as desktop.save')
    .option('--target <id>', 'only what was done to this one')
    .action(({ limit, ...narrowed }: AuditOptions) =>
      answer(async ({ client }) => {
        const value: AuditView[] = [];
        for await (const entry of client.audit(narrowed, limit)) {
          if (value.length === limit) break;
          value.push(entry);
        }
        return { value, text: showAudit(value) };
      }),
    );
  audit
    .command('export')
    .description('lines older than a moment as lines of JSON, oldest first: `dormouse audit export --before … > file`')
    .requiredOption('--before <when>', 'such as 2030-01-31T00:00:00Z')
    .action(async ({ before }: { before: string }) => {
      const { client } = await openAccess();
      let rest = '';
      for await (const piece of client.exportAudit(before)) {
        const lines = (rest + piece).split('\n');
        rest = lines.pop()!;
        if (lines.length > 0) print(lines.join('\n'));
      }
    });
  audit
    .command('prune')
    .description('removes lines older than a moment, at least 30 days ago; export them first')
    .requiredOption('--before <when>', 'such as 2030-01-31T00:00:00Z')
    .requiredOption('--reason <text>', 'for the audit log')
    .action((body: { before: string; reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.pruneAudit({ before: body.before, reason: body.reason });
        return { value, text: `${value.removed} lines of the audit log were removed` };
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
