import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  identifyProcess,
  isProcessAlive,
  parseProcessIdentity,
  processEnded,
  stopProcess,
  type ProcessIdentity,
} from './process-identity';
import { processStat } from './process-stat';

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function start(program: string, ...args: string[]): Promise<{ child: ChildProcess; identity: ProcessIdentity }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  await once(child, 'spawn');
  return { child, identity: identifyProcess(child.pid!)! };
}

/** A shell that has set its traps by the time this resolves. */
async function startShell(script: string): Promise<{ child: ChildProcess; identity: ProcessIdentity }> {
  const started = await start('/bin/sh', '-c', `${script}; echo ready; while :; do sleep 0.05; done`);
  await once(started.child.stdout!, 'data');
  return started;
}

test('a process that runs is alive under its identity, and is not once it has ended', async () => {
  const { child, identity } = await start('sleep', '60');
  expect(identity.pid).toBe(child.pid);
  expect(isProcessAlive(identity)).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isProcessAlive(identity)).toBe(false);
  expect(identifyProcess(identity.pid)).toBeNull();
});

test('another process under the same id is not the one that was identified', async () => {
  const { identity } = await start('sleep', '60');
  const earlier = { ...identity, startTicks: identity.startTicks - 1 };
  expect(isProcessAlive(earlier)).toBe(false);
  await stopProcess(earlier);
  expect(isProcessAlive(identity)).toBe(true); // nobody sent it anything
});

test('a process that has ended and was not waited for is not alive', async () => {
  // The shell becomes a sleep that knows nothing of the child it has inherited.
  const { child } = await start('/bin/sh', '-c', 'sleep 60 & echo $!; exec sleep 60');
  const [line] = (await once(child.stdout!, 'data')) as [Buffer];
  const identity = identifyProcess(Number(line.toString()))!;
  expect(isProcessAlive(identity)).toBe(true);
  process.kill(identity.pid, 'SIGKILL');
  expect(await processEnded(identity, 5_000)).toBe(true);
});

test('a process whose first thread has ended is alive as long as another has not', async () => {
  // The system call that ends a thread and not its process.
  const exit = { x64: 60, arm64: 93 }[process.arch as 'x64' | 'arm64'];
  const script = `$| = 1; threads->create(sub { print "ready\\n"; sleep 60 }); sleep 1; syscall(${exit}, 0)`;
  const { child, identity } = await start('perl', '-Mthreads', '-e', script);
  await once(child.stdout!, 'data');
  while (processStat(identity.pid)!.state !== 'Z') await sleep(20);
  expect(isProcessAlive(identity)).toBe(true);
  await stopProcess(identity);
  expect(isProcessAlive(identity)).toBe(false);
});

test('a program whose name looks like the end of its own entry is identified all the same', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'dormouse-process-'));
  try {
    const program = join(directory, 'a) Z 1 (b');
    await copyFile('/bin/sleep', program);
    const { identity } = await start(program, '60');
    const self = identifyProcess(process.pid)!;
    expect(isProcessAlive(identity)).toBe(true);
    expect(identity.startTicks).toBeGreaterThanOrEqual(self.startTicks);
    expect(identity.startTicks - self.startTicks).toBeLessThan(100 * 3600);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('an identity comes back from JSON, and what is none does not', () => {
  const identity = identifyProcess(process.pid)!;
  expect(parseProcessIdentity(JSON.parse(JSON.stringify(identity)))).toEqual(identity);
  for (const other of [null, 7, 'x', {}, { pid: 1 }, { pid: '1', startTicks: 2 }, { pid: 1.5, startTicks: 2 }]) {
    expect(parseProcessIdentity(other)).toBeNull();
  }
});

test('waiting for a process that stays ends when the patience does', async () => {
  const { identity } = await start('sleep', '60');
  const before = Date.now();
  expect(await processEnded(identity, 50)).toBe(false);
  expect(Date.now() - before).toBeGreaterThanOrEqual(50);
  expect(Date.now() - before).toBeLessThan(2_000);
});

test('a process is asked to end, and is gone when that resolves', async () => {
  const { child, identity } = await startShell('trap "exit 7" TERM');
  const exited = once(child, 'exit');
  await stopProcess(identity);
  expect(isProcessAlive(identity)).toBe(false);
  expect(await exited).toEqual([7, null]);
});

test('a process that does not listen is killed when the patience is over, and not before', async () => {
  const { child, identity } = await startShell('trap "" TERM');
  const exited = once(child, 'exit');
  const before = Date.now();
  await stopProcess(identity, { patienceMs: 100 });
  expect(Date.now() - before).toBeGreaterThanOrEqual(100);
  expect(await exited).toEqual([null, 'SIGKILL']);
});

test('the signal to begin with can be chosen', async () => {
  const { child, identity } = await startShell('trap "exit 9" INT');
  const exited = once(child, 'exit');
  await stopProcess(identity, { signal: 'SIGINT' });
  expect(await exited).toEqual([9, null]);
});

test('stopping a process that is gone does nothing', async () => {
  const { child, identity } = await start('sleep', '60');
  child.kill('SIGKILL');
  await once(child, 'exit');
  await expect(stopProcess(identity)).resolves.toBeUndefined();
});
