import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { leftOf } from '../scenario';

jest.setTimeout(300_000);

const programOf = (name: string) => join(__dirname, '../../dist/apps', name, 'main.js');
const workerProgram = programOf('worker');
/** `nobody`, by POSIX convention. */
const nobody = 65_534;

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-start-'));
  await chmod(directory, 0o755);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly said: string;
}

/** A worker on a host that lacks something. It never gets as far as to the database. */
async function startWorker(environment: NodeJS.ProcessEnv, uid?: number, program = workerProgram): Promise<Ended> {
  const dataDir = await mkdtemp(join(directory, 'data-'));
  if (uid !== undefined) await chown(dataDir, uid, uid);
  const child = spawn(process.execPath, [program], {
    cwd: directory,
    env: {
      PATH: process.env['PATH'],
      DATA_DIR: dataDir,
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      REDIS_URL: 'redis://127.0.0.1:1',
      ACCEL: 'tcg',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const [said, [code]] = await Promise.all([
    Promise.all([text(child.stdout), text(child.stderr)]).then((both) => both.join('')),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  expect(await leftOf(directory, 5_000)).toEqual([]);
  return { code, said };
}

/** A QEMU that is a shell script: only its answer to `--version` is ever asked for. */
async function fakeQemu(answer: string): Promise<string> {
  const path = join(directory, 'fake-qemu');
  await writeFile(path, `#!/bin/sh\necho '${answer}'\n`);
  await chmod(path, 0o755);
  return path;
}

const inOneLine = /^worker: [^\n]+\n$/;

test('without QEMU the worker says what to install, in one line, and ends', async () => {
  const { code, said } = await startWorker({ QEMU_BINARY: '/no/such/qemu' });
  expect(code).toBe(1);
  expect(said).toMatch(inOneLine);
  expect(said).toContain('/no/such/qemu');
  expect(said).toContain('qemu-system-x86');
});

test('a QEMU that is too old is named with its version and the one that is needed', async () => {
  const qemu = await fakeQemu('QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2)');
  const { code, said } = await startWorker({ QEMU_BINARY: qemu });
  expect(code).toBe(1);
  expect(said).toMatch(inOneLine);
  expect(said).toContain(qemu);
  expect(said).toContain('6.2.0');
  expect(said).toContain('7.2');
});

test('a program that is no QEMU is told from one', async () => {
  const { code, said } = await startWorker({ QEMU_BINARY: await fakeQemu('hello') });
  expect(code).toBe(1);
  expect(said).toMatch(inOneLine);
  expect(said).toContain('does not answer as QEMU does');
});

test('a key file that others can read is refused with what to do, in one line', async () => {
  const file = join(directory, 'open.json');
  await writeFile(file, '{}', { mode: 0o644 });
  const { code, said } = await startWorker({ KEY_URL: `file://${file}` });
  expect(code).toBe(1);
  expect(said).toMatch(inOneLine);
  expect(said).toContain(`chmod 600 ${file}`);
});

test('a Vault without a token is told by the variable that is missing', async () => {
  const { code, said } = await startWorker({ KEY_URL: 'vault+https://127.0.0.1:1/transit/dormouse' });
  expect(code).toBe(1);
  expect(said).toMatch(inOneLine);
  expect(said).toContain('VAULT_TOKEN');
});

describe.each([
  ['worker', 'worker'],
  ['api', 'api'],
  ['launcher', 'dormouse'],
])('the %s', (name, said) => {
  test.each(['/proc/dormouse/data', '/proc', '/sys', '/dev/null/data'])(
    'refuses %s as its data directory in one line, and ends',
    async (path) => {
      const ended = await startWorker({ DATA_DIR: path }, undefined, programOf(name));
      expect(ended.code).toBe(1);
      expect(ended.said).toMatch(
        new RegExp(`^${said}: the data directory ${path} cannot be used: [^\n]+ DATA_DIR [^\n]+\n$`),
      );
    },
  );

  (process.getuid?.() === 0 ? test : test.skip)(
    'refuses a read-only data directory in one line, and ends (tried by root only)',
    async () => {
      const path = await mkdtemp(join(directory, 'read-only-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', path]);
      try {
        const ended = await startWorker({ DATA_DIR: path }, undefined, programOf(name));
        expect(ended.code).toBe(1);
        expect(ended.said).toMatch(/^[a-z]+: the data directory [^\n]+ cannot be used: EROFS[^\n]+\n$/);
      } finally {
        execFileSync('umount', [path]);
      }
    },
  );
});

test('a directory of disk layers that cannot be made is told with its variable', async () => {
  const { code, said } = await startWorker({ DISKS_DIR: '/proc/dormouse/disks' });
  expect(code).toBe(1);
  expect(said).toMatch(inOneLine);
  expect(said).toContain('set DISKS_DIR to another one');
});

test('a database that does not answer is told in one line', async () => {
  const { code, said } = await startWorker({});
  expect(code).toBe(1);
  expect(said).toMatch(/^worker: Postgres cannot be used: [^\n]+ Check DATABASE_URL[^\n]+\n$/);
});

describe('where userfaultfd is not permitted', () => {
  const reason = whyNotToBeTried();

  (reason === null ? test : test.skip)(
    `the worker says what would permit it, in one line, and ends${reason === null ? '' : ` (not tried: ${reason})`}`,
    async () => {
      if (!(await untilRefusedToSome())) return; // the host permits it to everybody, for good
      const { code, said } = await startWorker({}, nobody);
      expect(code).toBe(1);
      expect(said).toMatch(inOneLine);
      expect(said).toContain('/dev/userfaultfd');
      expect(said).toContain('vm.unprivileged_userfaultfd');
    },
  );
});

/** It takes root to try as somebody who may not; and what everybody may is refused to nobody. */
function whyNotToBeTried(): string | null {
  if (process.getuid?.() !== 0) return 'only root can start a worker as somebody else';
  const readable = spawnSync('test', ['-r', workerProgram], { uid: nobody, gid: nobody }).status === 0;
  if (!readable) return 'somebody else cannot read the build';
  return null;
}

/** `qemu-user.spec` permits it for a while, to all of the host. @returns whether it is refused to somebody, within four minutes */
async function untilRefusedToSome(): Promise<boolean> {
  for (const deadline = performance.now() + 240_000; performance.now() < deadline; await sleep(500)) {
    if (readFileSync('/proc/sys/vm/unprivileged_userfaultfd', 'utf8').trim() !== '1') return true;
  }
  return false;
}
