import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isProcessAlive, parseProcessIdentity, processEnded, stopProcess } from './process-identity';
import { ProgramStarter, type DetachedCommand } from './program-starter';

let directory: string;
let logFile: string;
let starter: ProgramStarter;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-detached-'));
  logFile = join(directory, 'program.log');
  starter = new ProgramStarter();
});
afterEach(async () => {
  starter.close();
  await rm(directory, { recursive: true, force: true });
});

/** Empty as long as the program's process has not opened it. */
const readLog = (): Promise<string> =>
  readFile(logFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });

const shell = (script: string): DetachedCommand => ({
  program: '/bin/sh',
  args: ['-c', script],
  cwd: directory,
  logFile,
});

test('a program that is not there is named', async () => {
  const program = '/usr/bin/no-such-program';
  await expect(starter.start({ program, args: [], cwd: directory, logFile })).rejects.toMatchObject({
    code: 'DEPENDENCY_MISSING',
    message: expect.stringContaining(program),
  });
});

test('what it says is appended to its log, which is for its owner alone', async () => {
  for (const word of ['first', 'second']) {
    const identity = await starter.start(shell(`echo ${word}; echo and ${word} >&2`));
    expect(await processEnded(identity, 5_000)).toBe(true);
  }
  expect(await readFile(logFile, 'utf8')).toBe('first\nand first\nsecond\nand second\n');
  expect((await stat(logFile)).mode & 0o777).toBe(0o600);
});

test('it runs in its directory with the environment it was given', async () => {
  const other = new ProgramStarter({ WORD: 'given', PATH: '/bin:/usr/bin' });
  await processEnded(await other.start(shell('pwd; echo $WORD')), 5_000);
  other.close();
  expect(await readFile(logFile, 'utf8')).toBe(`${directory}\ngiven\n`);
});

test('it leads a session of its own, which no terminal of ours reaches', async () => {
  const identity = await starter.start(shell('echo here; exec sleep 60'));
  while (!(await readLog()).includes('here')) await sleep(5);
  const fields = (await readFile(`/proc/${identity.pid}/stat`, 'latin1')).split(') ')[1]!.split(' ');
  expect([fields[2], fields[3]]).toEqual([String(identity.pid), String(identity.pid)]); // group and session
  await stopProcess(identity);
});

test('it lives on when the one who started it dies', async () => {
  const register = join(__dirname, '../../test/contract/typescript.cjs');
  const script = `
    const { ProgramStarter } = require(${JSON.stringify(join(__dirname, 'program-starter.ts'))});
    new ProgramStarter().start(${JSON.stringify(shell('exec sleep 60'))}).then((identity) => {
      process.stdout.write(JSON.stringify(identity), () => process.kill(process.pid, 'SIGKILL'));
    });`;
  const dying = spawn(process.execPath, ['--require', register, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const chunk of dying.stdout) said += String(chunk);
  const identity = parseProcessIdentity(JSON.parse(said))!;
  await sleep(50);
  expect(dying.signalCode).toBe('SIGKILL');
  expect(isProcessAlive(identity)).toBe(true);
  await stopProcess(identity);
});

test('one that ends at once has an identity that nobody else will ever have', async () => {
  const identity = await starter.start(shell('exit 1'));
  expect(await processEnded(identity, 5_000)).toBe(true);
  expect(isProcessAlive(identity)).toBe(false);
});

test('what is awkward for a shell arrives as it is', async () => {
  const words = ["it's", '$HOME `id` "quoted"', 'two\nlines', '*', ''];
  const odd = join(directory, "it's $HOME");
  await mkdir(odd);
  const identity = await starter.start({
    program: process.execPath,
    args: ['-p', 'JSON.stringify([process.cwd(), ...process.argv.slice(1)])', '--', ...words],
    cwd: odd,
    logFile,
  });
  await processEnded(identity, 5_000);
  expect(JSON.parse(await readFile(logFile, 'utf8'))).toEqual([odd, ...words]);
});

test('it finds its pipes, which are for its owner alone', async () => {
  const identity = await starter.start({ ...shell('cat in & echo hello > in; wait'), pipes: ['in', 'out'] });
  await processEnded(identity, 5_000);
  expect(await readFile(logFile, 'utf8')).toBe('hello\n');
  const found = await Promise.all(['in', 'out'].map((pipe) => stat(join(directory, pipe))));
  expect(found.map((pipe) => [pipe.isFIFO(), pipe.mode & 0o777])).toEqual([
    [true, 0o600],
    [true, 0o600],
  ]);
});

test('one whose directory is missing does not run, and its log says so', async () => {
  const cwd = join(directory, 'gone');
  const identity = await starter.start({ ...shell('echo ran'), cwd });
  expect(await processEnded(identity, 5_000)).toBe(true);
  expect(await readFile(logFile, 'utf8')).toMatch(/gone/);
});

test('many at once are told apart', async () => {
  const identities = await Promise.all(
    Array.from({ length: 20 }, (_, n) => starter.start({ ...shell(`echo $$ > ${n}`), pipes: [] })),
  );
  for (const [n, identity] of identities.entries()) {
    await processEnded(identity, 5_000);
    expect(Number(await readFile(join(directory, String(n)), 'utf8'))).toBe(identity.pid);
  }
});

test('when its shell is killed the next one is started by another', async () => {
  const first = await starter.start(shell('exec sleep 60'));
  process.kill(await parentOf(first.pid), 'SIGKILL');
  expect(await processEnded(first, 50)).toBe(false);
  await stopProcess(first);
  const second = await starter.start(shell('echo second'));
  await processEnded(second, 5_000);
  expect(await readFile(logFile, 'utf8')).toBe('second\n');
});

async function parentOf(pid: number): Promise<number> {
  return Number((await readFile(`/proc/${pid}/stat`, 'latin1')).split(') ')[1]!.split(' ')[1]);
}

const whenRoot = process.getuid?.() === 0 ? test : test.skip;

whenRoot('it runs as another user without capabilities, in a directory that this user could not come to', async () => {
  const user = { uid: 61_234, gid: 61_235, groups: [61_236] };
  const said = 'id -u; id -g; id -G; grep -E "CapEff|NoNewPrivs" /proc/self/status; umask; ls . 2>&1';
  const command = { ...shell(said), recordFile: join(directory, 'program.json'), pipes: ['to'], user };
  const identity = await starter.start(command);
  expect(await processEnded(identity, 5_000)).toBe(true);
  expect((await readFile(logFile, 'utf8')).split('\n')).toEqual([
    ...['61234', '61235', '61235 61236', 'CapEff:\t0000000000000000', 'NoNewPrivs:\t1', '0007'],
    expect.stringContaining('Permission denied'),
    '',
  ]);
  expect((await stat(join(directory, 'to'))).mode & 0o777).toBe(0o666);
  expect(parseProcessIdentity(JSON.parse(await readFile(join(directory, 'program.json'), 'utf8')))).toEqual(identity);
});
