import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

jest.setTimeout(120_000);

const projectRoot = join(__dirname, '../..');

interface Case {
  readonly file: string;
  /** If it were the whole of that file. */
  readonly line: string;
  /** What the import rule is to say; undefined: nothing. */
  readonly error?: string;
}

const cases: readonly Case[] = [
  { file: 'libs/session/decide.ts', line: `import 'typeorm';`, error: "libs/session must not know 'typeorm'" },
  {
    file: 'libs/session/decide.ts',
    line: `import 'node:fs/promises';`,
    error: "libs/session must not know 'node:fs/promises'",
  },
  {
    file: 'libs/session/decide.ts',
    line: `import '@dormouse/ledger';`,
    error: 'imports point one way: libs/session may import errors, text, not ledger',
  },
  {
    file: 'libs/checkpoint/index.ts',
    line: `export * from 'bullmq';`,
    error: "libs/checkpoint must not know 'bullmq'",
  },
  {
    file: 'libs/qemu/index.ts',
    line: `void import('@nestjs/common');`,
    error: "libs/qemu must not know '@nestjs/common'",
  },
  {
    file: 'libs/ledger/index.ts',
    line: `export * from '../session/decide';`,
    error: "import libs/session by its name: '@dormouse/session'",
  },
  {
    file: 'apps/api/index.ts',
    line: `export * from '@dormouse/session/decide';`,
    error: "import '@dormouse/session', not a file inside of it",
  },
  {
    file: 'apps/api/index.ts',
    line: `export * from '../worker';`,
    error: 'apps/api must not import from outside of its folder by path',
  },
  { file: 'apps/pager/main.ts', line: `import 'ioredis';`, error: "apps/pager must not know 'ioredis'" },
  {
    file: 'libs/text/instants.ts',
    line: `export * from './index';`,
    error: 'this import leads back to its own file: libs/text/index.ts → libs/text/instants.ts',
  },
  { file: 'libs/session/decide.ts', line: `export * from '@dormouse/errors'; export * from './presence';` },
  { file: 'libs/ledger/index.ts', line: `export * from '@dormouse/session'; export * from 'typeorm';` },
  { file: 'apps/api/admin/index.ts', line: `export * from '@dormouse/ledger'; export * from '../access';` },
];

/** ESLint cannot be loaded inside of Jest (it imports its configuration): it runs beside, once for all cases. */
const lintAll = `
  import { ESLint } from 'eslint';
  import { json } from 'node:stream/consumers';
  const eslint = new ESLint();
  const said = [];
  for (const { file, line } of await json(process.stdin)) {
    const [{ messages }] = await eslint.lintText(line + '\\n', { filePath: file });
    said.push(messages.filter(({ ruleId }) => ruleId === 'rooms/one-way-imports').map(({ message }) => message));
  }
  process.stdout.write(JSON.stringify(said));`;

let said: string[][];

beforeAll(async () => {
  const eslint = spawn(process.execPath, ['--input-type=module', '--eval', lintAll], {
    cwd: projectRoot,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  eslint.stdin.end(JSON.stringify(cases));
  const [output] = await Promise.all([text(eslint.stdout), once(eslint, 'close')]);
  said = JSON.parse(output) as string[][];
});

test.each(cases.map((one, index) => ({ ...one, index })))('$file: $line', ({ file, error, index }) => {
  expect(existsSync(join(projectRoot, file))).toBe(true);
  expect(said[index]).toEqual(error === undefined ? [] : [error]);
});
