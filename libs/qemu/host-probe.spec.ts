import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { probeAccelerator } from './accelerator-probe';
import { probeHost } from './host-probe';

const qemu = 'qemu-system-x86_64';
/** A user without rights, as Debian numbers it. */
const nobody = 65534;

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-probe-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A program that stands where QEMU would. */
async function program(script: string): Promise<string> {
  const file = join(directory, 'qemu');
  await writeFile(file, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
  return file;
}

describe('probing a host', () => {
  test('finds its QEMU, its accelerator and its memory', async () => {
    const { stdout } = await promisify(execFile)(qemu, ['--version']);
    const capabilities = await probeHost(qemu, 'tcg', directory);
    expect(capabilities).toMatchObject({ qemu, accelerator: 'tcg' });
    expect(stdout).toContain(`version ${capabilities.qemuVersion}`);
    expect(capabilities.qemuVersion).toMatch(/^\d+\.\d+\.\d+/);
    expect(capabilities.memoryMiB).toBeGreaterThan(100);
    expect(await readdir(directory)).toEqual([]);
  });

  test('says that QEMU is missing and which package brings it', async () => {
    const missing = '/usr/bin/no-such-qemu';
    await expect(probeHost(missing, 'auto', directory)).rejects.toMatchObject({
      code: 'QEMU_MISSING',
      message: expect.stringMatching(/no-such-qemu.*qemu-system-x86.*QEMU_BINARY/),
      details: { qemu: missing },
    });
  });

  test.each([
    ['6.2.0', 'QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2ubuntu6)'],
    ['7.1.0', 'QEMU emulator version 7.1.0'],
  ])('says that QEMU %s is too old, and which would do', async (version, answer) => {
    await expect(probeHost(await program(`echo '${answer}'`), 'auto', directory)).rejects.toMatchObject({
      code: 'QEMU_TOO_OLD',
      message: expect.stringMatching(/7\.2 or newer/),
      details: { version: expect.stringContaining(version) },
    });
  });

  test('takes 10.0 for newer than 7.2', async () => {
    const ten = await program(`[ "$1" = --version ] && echo 'QEMU emulator version 10.0.2' || exec ${qemu} "$@"`);
    await expect(probeHost(ten, 'tcg', directory)).resolves.toMatchObject({ qemuVersion: '10.0.2' });
  });

  test.each([
    ['another program', 'echo hello'],
    ['a QEMU that ends at once', `[ "$1" = --version ] && echo 'QEMU emulator version 8.0.0'; exit 0`],
    [
      'a QEMU that speaks no QMP',
      `[ "$1" = --version ] && echo 'QEMU emulator version 8.0.0' || echo 'Segmentation fault'`,
    ],
    ['a QEMU that answers nonsense', `[ "$1" = --version ] && echo 'QEMU emulator version 8.0.0' || yes 42`],
  ])('takes %s for a missing QEMU', async (_, script) => {
    const impostor = await program(script);
    await expect(probeHost(impostor, 'tcg', directory)).rejects.toMatchObject({
      code: 'QEMU_MISSING',
      details: { qemu: impostor },
    });
  });

  const whenRoot = process.getuid?.() === 0 ? test : test.skip;

  whenRoot('as a user without rights says that userfaultfd is denied, and what is missing', async () => {
    const setting = (await readFile('/proc/sys/vm/unprivileged_userfaultfd', 'utf8')).trim();
    const openToAll = await stat('/dev/userfaultfd').then(
      ({ mode }) => (mode & 0o006) === 0o006,
      () => false,
    );
    // Loaded as root and run as nobody, who may not be allowed to read this file.
    const register = join(__dirname, '../../test/contract/typescript.cjs');
    const script = `
      const { probeHost } = require(${JSON.stringify(join(__dirname, 'index.ts'))});
      process.setgroups([]);
      process.setgid(${nobody});
      process.setuid(${nobody});
      probeHost('${qemu}', 'tcg', '/tmp').then(
        () => process.stdout.write('{"code":null}'),
        (error) => process.stdout.write(JSON.stringify(error)),
      );`;
    const probed = await promisify(execFile)(process.execPath, ['--require', register, '-e', script]);
    const outcome = JSON.parse(probed.stdout) as { code: string | null; message: string };
    if (setting === '1' || openToAll) {
      expect(outcome).toEqual({ code: null }); // this host permits it to everyone
      return;
    }
    expect(outcome.code).toBe('USERFAULTFD_DENIED');
    expect(outcome.message).toContain('CAP_SYS_PTRACE');
    expect(outcome.message).toContain('/dev/userfaultfd, which QEMU 8.0 and newer use, cannot be opened');
    expect(outcome.message).toContain(`vm.unprivileged_userfaultfd is ${setting}`);
  });
});

describe('the accelerator', () => {
  test('that was chosen is taken without a try', async () => {
    await expect(probeAccelerator('/usr/bin/no-such-qemu', 'kvm', directory)).resolves.toBe('kvm');
    await expect(probeAccelerator('/usr/bin/no-such-qemu', 'tcg', directory)).resolves.toBe('tcg');
  });

  test('is KVM where the boot sector runs to its end', async () => {
    // A processor that works, whatever it is called.
    const working = await program(`exec ${qemu} "\${@//accel=kvm/accel=tcg}"`);
    await expect(probeAccelerator(working, 'auto', directory)).resolves.toBe('kvm');
  });

  test('is TCG after two seconds where a KVM takes guests and never runs them', async () => {
    const hanging = await program(`exec ${qemu} -S "\${@//accel=kvm/accel=tcg}"`);
    const before = Date.now();
    await expect(probeAccelerator(hanging, 'auto', directory)).resolves.toBe('tcg');
    expect(Date.now() - before).toBeGreaterThan(1_500);
    expect(Date.now() - before).toBeLessThan(5_000);
  });

  test.each([
    ['refuses', 'exit 1'],
    ['ends well, but not by the boot sector', 'exit 0'],
    ['crashes', 'kill -SEGV $$'],
  ])('is TCG where KVM %s', async (_, script) => {
    await expect(probeAccelerator(await program(script), 'auto', directory)).resolves.toBe('tcg');
  });

  test('of this host is found in a few seconds, and nothing is left behind', async () => {
    const before = Date.now();
    expect(['kvm', 'tcg']).toContain(await probeAccelerator(qemu, 'auto', directory));
    expect(Date.now() - before).toBeLessThan(5_000);
    expect(await readdir(directory)).toEqual([]);
  });
});
