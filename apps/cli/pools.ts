import type { Command } from 'commander';
import type { CommandContext } from './command-context';
import { readJsonFile } from './read-json-file';
import { showPool } from './show';

export function addPools(pool: Command, { answer }: CommandContext): void {
  pool
    .command('show <id>')
    .description('one pool')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.pool(id);
        return { value, text: showPool(value) };
      }),
    );
  pool
    .command('put <id> <policy.json>')
    .description('make a pool or change its policy')
    .action((id: string, file: string) =>
      answer(async ({ client }) => {
        const value = await client.putPool(id, await readJsonFile(file));
        return { value, text: showPool(value) };
      }),
    );
}
