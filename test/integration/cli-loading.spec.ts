import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** People and scripts call the command line all the time: it loads what a command needs, and no more. */
const main = join(__dirname, '../../dist/apps/cli/main.js');

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'dormouse-cli-loading-'));
  const tell = `process.on('exit', () => require('fs').writeSync(3, Object.keys(require.cache).join('\\n')));`;
  writeFileSync(join(directory, 'tell.js'), tell);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What a call prints, and the packages and rooms that it has loaded. There is no api. */
function dormouse(...args: readonly string[]): { stdout: string; stderr: string; loaded: Set<string> } {
  const { output } = spawnSync(process.execPath, ['-r', join(directory, 'tell.js'), main, ...args], {
    env: { PATH: process.env['PATH'], DATA_DIR: directory },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  const [, stdout, stderr, files] = output as [null, string, string, string];
  return { stdout, stderr, loaded: new Set(files.split('\n').flatMap(packageOf)) };
}

function packageOf(file: string): string[] {
  const [, name] =
    /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file) ?? /\/dist\/((?:apps|libs)\/[^/]+)/.exec(file) ?? [];
  return name === undefined ? [] : [name];
}

test('help loads the parser of the command line, and nothing else', () => {
  const { stdout, loaded } = dormouse('--help');
  expect(stdout).toContain('desktops: list, register, put to sleep, wake');
  expect([...loaded].sort()).toEqual(['apps/cli', 'commander', 'libs/errors']);
});

test.each([
  ['desktop', 'list'],
  ['operation', 'show', 'x'],
  ['checkpoint', 'list', 'ada'],
  ['keys', 'list'],
])('%s %s loads the client of the api, and neither database nor storage nor machines', (...args) => {
  const { stderr, loaded } = dormouse(...args);
  expect(stderr).toContain('Dormouse does not run with the data directory');
  expect(loaded).toContain('libs/api-client');
  for (const room of ['ledger', 'persistence', 'session', 'storage', 'checkpoint', 'qemu', 'observability'])
    expect(loaded).not.toContain(`libs/${room}`);
});

test('every group of commands says in its help which they are, however one asks', () => {
  const groups = [...dormouse('--help').stdout.matchAll(/^ {2}(\w+)(?:\|\w+)? .*/gm)].map(([, name]) => name!);
  expect(groups).toEqual([
    'desktop',
    'operation',
    'pool',
    'checkpoint',
    'host',
    'broker',
    'audit',
    'keys',
    'events',
    'help',
  ]);
  for (const group of groups.slice(0, -1)) {
    const { stdout } = dormouse(group, '--help');
    expect(stdout).toMatch(/^Commands:\n {2}\w+ /m);
    expect(dormouse('help', group).stdout).toBe(stdout);
  }
  expect(dormouse('help', 'keys', 'create').stdout).toContain('Usage: dormouse keys create [options] <name>');
});

test('what is no command is named', () => {
  expect(dormouse('desktops').stderr).toContain(`unknown command 'desktops'`);
  expect(dormouse('desktop', 'sleep').stderr).toContain(`unknown command 'sleep'`);
});
