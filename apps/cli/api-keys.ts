import { DormouseError } from '@dormouse/errors';
import type { ApiKeyView, ApiScope } from '@dormouse/views';
import { Option, type Command } from 'commander';
import { usualReason, type CommandContext } from './command-context';
import { ago } from './show';
import { table } from './table';

const scopes: Readonly<Record<ApiScope, string>> = {
  viewer: 'looks',
  operator: 'also saves, wakes and stops',
  admin: 'can do everything',
};

interface CreateOptions {
  readonly scope: ApiScope;
  readonly pool?: string[];
  readonly expires: number;
  readonly reason: string;
}

/** The keys that one asks the api with: making, listing and revoking them. */
export function addApiKeys(keys: Command, { answer, now }: CommandContext): void {
  keys
    .command('create <name>')
    .description('make a key of the api; it is shown this once')
    .addOption(new Option('--scope <scope>', inWords(scopes)).choices(Object.keys(scopes)).makeOptionMandatory())
    .option('--pool <id>', 'limit it to this pool; may be given several times', (pool, pools: string[] = []) => [
      ...pools,
      pool,
    ])
    .addOption(new Option('--expires <days>', 'for how long it lets in').default(90).argParser(wholeDays))
    .option('--reason <text>', 'goes into the audit log', usualReason)
    .action((name: string, { scope, pool, expires, reason }: CreateOptions) =>
      answer(async ({ client }) => {
        const pools = pool === undefined ? {} : { pools: pool };
        const value = await client.createApiKey(name, { scope, ...pools, expiresInDays: expires, reason });
        return { value, text: value.key };
      }),
    );
  keys
    .command('list')
    .description('the keys of the api, who may do what with them, and until when; never a key itself')
    .action(() =>
      answer(async ({ client }) => {
        const value = await client.apiKeys();
        return { value, text: showApiKeys(value, now()) };
      }),
    );
  keys
    .command('revoke <name>')
    .description('let nobody in with a key of the api any more, from now on')
    .option('--reason <text>', 'goes into the audit log', usualReason)
    .action((name: string, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.revokeApiKey(name, reason);
        return { value, text: `${name} lets nobody in any more` };
      }),
    );
}

function inWords(meanings: Readonly<Record<string, string>>): string {
  return Object.entries(meanings)
    .map(([name, meaning]) => `${name} ${meaning}`)
    .join('; ');
}

function showApiKeys(keys: readonly ApiKeyView[], now: Date): string {
  return table(
    keys,
    [
      { title: 'KEY', text: ({ name }) => name },
      { title: 'SCOPE', text: ({ scope }) => scope },
      { title: 'POOLS', text: ({ pools }) => pools?.join(', ') ?? 'all' },
      { title: 'STATE', text: ({ state }) => state },
      { title: 'EXPIRES', text: ({ expiresAt }) => expiresAt.slice(0, 10) },
      { title: 'LAST USED', text: ({ lastUsedAt }) => (lastUsedAt === null ? 'never' : `${ago(lastUsedAt, now)} ago`) },
      { title: 'MADE BY', text: ({ createdBy }) => createdBy },
    ],
    'no keys but the one of the configuration: `dormouse keys create <name> --scope viewer` makes one',
  );
}

function wholeDays(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) > 0) return Number(text);
  throw new DormouseError('REQUEST_INVALID', `--expires ${text} should be a whole number of days, at least 1`);
}
