import { readFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isProcessAlive, ProgramStarter, stopProcess, type ProcessIdentity } from '@dormouse/process';
import { RunDirectory } from './run-directory';

let root: string;
let directory: RunDirectory;
const starter = new ProgramStarter();
const started: ProcessIdentity[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dormouse-run-'));
  directory = new RunDirectory(root, 'ada');
  await directory.create();
});
afterEach(async () => {
  for (const identity of started.splice(0)) await stopProcess(identity, { signal: 'SIGKILL' });
  await rm(root, { recursive: true, force: true });
});
afterAll(() => starter.close());

/** What takes the place of QEMU: a program that works in the run directory. */
async function start(): Promise<ProcessIdentity> {
  const identity = await starter.start({
    program: 'tail',
    args: ['-f', '/dev/null', 'guest=ada'],
    cwd: directory.path,
    logFile: directory.file('qemu.log'),
    recordFile: directory.recordFile('qemu'),
  });
  started.push(identity);
  while (!(await readFile(`/proc/${identity.pid}/cmdline`, 'utf8')).startsWith('tail'));
  return identity;
}

test('a machine is remembered before it runs, by whoever starts it', async () => {
  const identity = await start();
  expect(JSON.parse(await readFile(directory.recordFile('qemu'), 'utf8'))).toEqual(identity);
  expect(await directory.liveProcess('qemu')).toEqual(identity);
});

test.each([
  ['is gone', null],
  ['is empty', ''],
  ['is cut short', '{"pid":12'],
])('a machine whose record %s is found all the same, and remembered anew', async (_, content) => {
  const identity = await start();
  if (content === null) await rm(directory.recordFile('qemu'));
  else await writeFile(directory.recordFile('qemu'), content);
  expect(await directory.liveProcess('qemu')).toEqual(identity);
  expect(JSON.parse(await readFile(directory.recordFile('qemu'), 'utf8'))).toEqual(identity);
});

test('a machine that cannot be remembered does not run', async () => {
  await rm(directory.path, { recursive: true });
  await directory.create();
  const identity = await starter.start({
    program: 'sleep',
    args: ['60'],
    cwd: directory.path,
    logFile: directory.file('qemu.log'),
    recordFile: '/proc/nowhere/qemu.json',
  });
  while (isProcessAlive(identity));
  expect(await directory.liveProcess('qemu')).toBeNull();
});

test('where nothing runs nothing is found, whatever the records say', async () => {
  for (const role of ['qemu', 'pager', 'owner'] as const) {
    await writeFile(directory.recordFile(role), '');
    expect(await directory.liveProcess(role)).toBeNull();
  }
});
