import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isProcessAlive, parseProcessIdentity, processEnded, stopProcess } from './process-identity';
import { spawnDetached, type DetachedCommand } from './spawn-detached';

let directory: string;
let logFile: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-detached-'));
  logFile = join(directory, 'program.log');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const shell = (script: string): DetachedCommand => ({
  program: '/bin/sh',
  args: ['-c', script],
  cwd: directory,
  logFile,
});

test('a program that is not there is named', async () => {
  const program = '/usr/bin/no-such-program';
  await expect(spawnDetached({ program, args: [], cwd: directory, logFile })).rejects.toMatchObject({
    code: 'DEPENDENCY_MISSING',
    message: expect.stringContaining(program),
  });
});

test('what it says is appended to its log, which is for its owner alone', async () => {
  for (const word of ['first', 'second']) {
    const identity = await spawnDetached(shell(`echo ${word}; echo and ${word} >&2`));
    expect(await processEnded(identity, 5_000)).toBe(true);
  }
  expect(await readFile(logFile, 'utf8')).toBe('first\nand first\nsecond\nand second\n');
  expect((await stat(logFile)).mode & 0o777).toBe(0o600);
});

test('it runs in its directory with the environment it was given', async () => {
  const identity = await spawnDetached({ ...shell('pwd; echo $WORD'), env: { WORD: 'given', PATH: '/bin:/usr/bin' } });
  await processEnded(identity, 5_000);
  expect(await readFile(logFile, 'utf8')).toBe(`${directory}\ngiven\n`);
});

test('it leads a session of its own, which no terminal of ours reaches', async () => {
  const identity = await spawnDetached(shell('exec sleep 60'));
  const fields = (await readFile(`/proc/${identity.pid}/stat`, 'latin1')).split(') ')[1]!.split(' ');
  expect([fields[2], fields[3]]).toEqual([String(identity.pid), String(identity.pid)]); // group and session
  await stopProcess(identity);
});

test('it lives on when the one who started it dies', async () => {
  const register = join(__dirname, '../../test/contract/typescript.cjs');
  const script = `
    const { spawnDetached } = require(${JSON.stringify(join(__dirname, 'spawn-detached.ts'))});
    spawnDetached(${JSON.stringify(shell('exec sleep 60'))}).then((identity) => {
      process.stdout.write(JSON.stringify(identity), () => process.kill(process.pid, 'SIGKILL'));
    });`;
  const starter = spawn(process.execPath, ['--require', register, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const chunk of starter.stdout) said += String(chunk);
  const identity = parseProcessIdentity(JSON.parse(said))!;
  await sleep(50);
  expect(starter.signalCode).toBe('SIGKILL');
  expect(isProcessAlive(identity)).toBe(true);
  await stopProcess(identity);
});

test('one that ends at once has an identity that nobody else will ever have', async () => {
  const identity = await spawnDetached(shell('exit 1'));
  expect(await processEnded(identity, 5_000)).toBe(true);
  expect(isProcessAlive(identity)).toBe(false);
});
