import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QemuHypervisor } from '@dormouse/hypervisor';
import { runProgram } from '@dormouse/process';

/** What a worker says of `QEMU_USER` before it takes any work. */
const whenRoot = process.getuid?.() === 0 ? describe : describe.skip;

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dormouse-user-'));
  for (const folder of ['data', 'data/run', 'above']) mkdirSync(join(root, folder), { mode: 0o700 });
  chmodSync(root, 0o755);
});
afterEach(() => rmSync(root, { recursive: true }));

async function probe(qemuUser: string, diskRoot = join(root, 'data', 'disks')): Promise<unknown> {
  const hypervisor = new QemuHypervisor({
    qemu: 'qemu-system-x86_64',
    qemuImg: 'qemu-img',
    accelerator: 'tcg',
    runRoot: join(root, 'data', 'run'),
    diskRoot,
    qemuUser,
    storageUrl: `file://${root}/storage`,
    pagerProgram: join(process.cwd(), 'dist', 'apps', 'pager', 'main.js'),
    machinesInWaiting: 0,
  });
  try {
    return await hypervisor.probe();
  } finally {
    await hypervisor.close();
  }
}

whenRoot('a worker that runs as root', () => {
  test.each([
    ['no-such-user', /there is no such user/],
    ['root', /from root .* kept apart/],
    ['0:61234', /from root .* kept apart/],
  ])('does not start with the user %s', async (user, message) => {
    await expect(probe(user)).rejects.toMatchObject({
      code: 'QEMU_USER_UNUSABLE',
      message: expect.stringMatching(message),
    });
  });

  test('says where the user does not come through, and opens its own directories and no others', async () => {
    const elsewhere = join(root, 'above', 'disks');
    await expect(probe('61234:61234', elsewhere)).rejects.toMatchObject({
      code: 'QEMU_USER_UNUSABLE',
      message: expect.stringContaining(`it does not reach ${elsewhere}`),
    });
    expect([modeOf('above'), modeOf('data')]).toEqual([0o700, 0o700]);
  });

  test('lets the user through the data directory to the disks, and nowhere else', async () => {
    // Whether it may use userfaultfd is another question, and asked later.
    await probe('nobody').catch((error: { code: string }) => expect(error.code).toBe('USERFAULTFD_DENIED'));
    expect([modeOf('data'), modeOf('data/disks'), modeOf('data/run')]).toEqual([0o711, 0o711, 0o700]);
  });

  test('that may not become another user says what it lacks', async () => {
    const script = `
      const { readyUser } = require(${JSON.stringify(join(process.cwd(), 'libs/hypervisor/qemu-user.ts'))});
      readyUser('61234:61234', { runRoot: ${JSON.stringify(join(root, 'data', 'run'))}, diskRoot: '/tmp' }).catch(
        ({ code, message }) => process.stdout.write(code + ' ' + message),
      );`;
    const register = join(process.cwd(), 'test/contract/typescript.cjs');
    const less = ['--bounding-set=-setuid,-setgid', '--', process.execPath, '--require', register, '-e', script];
    const { stdout } = await runProgram('qemuStart', 'setpriv', less);
    expect(stdout).toMatch(
      /^QEMU_USER_UNUSABLE .*may not become this user\. Start the worker as root, or with CAP_SETUID/,
    );
  });
});

function modeOf(folder: string): number {
  return statSync(join(root, folder)).mode & 0o777;
}
