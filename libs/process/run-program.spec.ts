import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '@dormouse/limits';
import { identifyProcess, processEnded } from './process-identity';
import { runProgram } from './run-program';

/** A short one of the table: which one is all the same. */
const limit = 'agentAfterThaw';
const { ms: limitMs, code } = limits[limit];
const patienceMs = 30_000;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-run-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Runs a script that first writes its process id down. */
function run(script: string, options: Parameters<typeof runProgram>[3] = {}) {
  return runProgram(limit, 'sh', ['-c', `echo $$ > pid; ${script}`], { cwd: directory, ...options });
}

/** Resolves when the process of the script is gone. */
async function expectEnded(): Promise<void> {
  const identity = identifyProcess(Number(await readFile(join(directory, 'pid'), 'utf8')));
  expect(identity === null || (await processEnded(identity, patienceMs))).toBe(true);
}

test('a program that ends in time: what it says, and what it fails with', async () => {
  expect(await run('echo said')).toEqual({ stdout: 'said\n', stderr: '' });
  await expect(run('echo why >&2; exit 3')).rejects.toMatchObject({ code: 3, stderr: 'why\n' });
});

test('nothing of our environment goes along that may be a secret', async () => {
  process.env['DORMOUSE_TEST_SECRET'] = 'hush';
  try {
    expect((await run('env')).stdout).not.toContain('hush');
  } finally {
    delete process.env['DORMOUSE_TEST_SECRET'];
  }
});

test.each([
  ['only sleeps', 'exec sleep 600'],
  ['ignores SIGTERM', `trap '' TERM INT HUP; while :; do sleep 1; done`],
  ['speaks all the time', 'while :; do echo still here; sleep 0.01; done'],
  ['has ended, and left its output to a child that has not', 'sleep 20 &'],
])('a program that %s is ended by the limit, which is named', async (_, script) => {
  const ended = run(script);
  await expect(ended).rejects.toMatchObject({ code, details: { waitedFor: limit, limitMs } });
  await expectEnded();
});

test('a program that floods its output is ended for that, and not waited for', async () => {
  await expect(run('exec yes')).rejects.toMatchObject({ code: 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER' });
  await expectEnded();
});

test('a program that is called off is ended', async () => {
  const controller = new AbortController();
  const ended = run('exec sleep 600', { signal: controller.signal });
  const aborted = expect(ended).rejects.toMatchObject({ name: 'AbortError' });
  while (!(await readFile(join(directory, 'pid'), 'utf8').catch(() => '')).endsWith('\n')) await sleep(5);
  controller.abort();
  await aborted;
  await expectEnded();
});

test('a program that is not there says so', async () => {
  await expect(runProgram(limit, join(directory, 'missing'), [])).rejects.toMatchObject({ code: 'ENOENT' });
});
