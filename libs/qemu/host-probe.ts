import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { limits } from '@dormouse/limits';
import { diesWithParent, plainEnvironment, runProgram } from '@dormouse/process';
import { parseMessage } from './qmp-message';
import { probeAccelerator, type Accelerator, type AcceleratorChoice } from './accelerator-probe';

/** The oldest QEMU on which waking was tried. */
const oldestVersion = { major: 7, minor: 2 };

export interface HostCapabilities {
  readonly qemu: string;
  /** As QEMU prints it, e.g. `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`: part of a machine's fingerprint. */
  readonly qemuVersion: string;
  readonly accelerator: Accelerator;
  readonly memoryMiB: number;
}

/**
 * What this host can do, found by trying.
 * @param as goes in front of the command: as whom QEMU is to run
 * @throws QEMU_MISSING, QEMU_TOO_OLD, USERFAULTFD_DENIED, each saying what to do
 */
export async function probeHost(
  qemu: string,
  choice: AcceleratorChoice,
  scratchDirectory: string,
  as: readonly string[] = [],
): Promise<HostCapabilities> {
  const qemuVersion = await readVersion(qemu);
  const [accelerator] = await Promise.all([
    probeAccelerator(qemu, choice, scratchDirectory, as),
    checkPostcopy(qemu, as),
  ]);
  return { qemu, qemuVersion, accelerator, memoryMiB: await totalMemoryMiB() };
}

async function readVersion(qemu: string): Promise<string> {
  let output: string;
  try {
    ({ stdout: output } = await runProgram('qemuProbe', qemu, ['--version']));
  } catch (cause) {
    throw new DormouseError(
      'QEMU_MISSING',
      `${qemu} cannot be run; install the package qemu-system-x86 or set QEMU_BINARY`,
      { qemu },
      { cause },
    );
  }
  const match = /version ((\d+)\.(\d+)\S*(?: \([^)]*\))?)/.exec(output);
  if (match === null) throw notQemu(qemu);
  const [major, minor] = [Number(match[2]), Number(match[3])];
  if (major < oldestVersion.major || (major === oldestVersion.major && minor < oldestVersion.minor)) {
    throw new DormouseError(
      'QEMU_TOO_OLD',
      `${qemu} is version ${match[1]}; ${oldestVersion.major}.${oldestVersion.minor} or newer is needed`,
      { qemu, version: match[1]! },
    );
  }
  return match[1]!;
}

/**
 * QEMU itself tries userfaultfd when postcopy is switched on: no guess of ours is as good. Only when it waits for a
 * stream, though: the capability costs a source nothing (migration/options.c, migrate_caps_check).
 */
async function checkPostcopy(qemu: string, as: readonly string[]): Promise<void> {
  try {
    await tryPostcopy(qemu, as);
  } catch (cause) {
    if (!isDormouseError(cause, 'QMP_FAILED')) throw cause;
    throw new DormouseError('USERFAULTFD_DENIED', await userfaultfdAdvice(cause.message, as), {}, { cause });
  }
}

async function tryPostcopy(qemu: string, as: readonly string[]): Promise<void> {
  const idle = ['-machine', 'none', '-nodefaults', '-display', 'none', '-incoming', 'defer', '-qmp', 'stdio'];
  const [program, ...args] = [...as, ...diesWithParent('SIGKILL'), qemu, ...idle] as [string, ...string[]];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: plainEnvironment() });
  child.stdin.on('error', () => undefined); // it has ended: so does its output, which is looked at
  const timer = setTimeout(() => child.kill('SIGKILL'), limits.qemuProbe.ms);
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const ask = async (command: object): Promise<void> => {
      child.stdin.write(JSON.stringify(command) + '\n');
      for (;;) {
        const line = await lines.next();
        const message = line.done === true ? null : parseMessage(line.value);
        if (message === null) throw notQemu(qemu);
        if (message.error !== undefined) throw new DormouseError('QMP_FAILED', message.error.desc);
        if (message.return !== undefined) return;
      }
    };
    await ask({ execute: 'qmp_capabilities' });
    const capabilities = [{ capability: 'postcopy-ram', state: true }];
    await ask({ execute: 'migrate-set-capabilities', arguments: { capabilities } });
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    child.stdout.destroy(); // a child of its own may hold the other end
  }
}

function notQemu(qemu: string): DormouseError {
  return new DormouseError('QEMU_MISSING', `${qemu} does not answer as QEMU does`, { qemu });
}

/** userfaultfd(2): allowed to CAP_SYS_PTRACE, to everyone by the sysctl, or (QEMU 8.0 and newer) through its device. */
async function userfaultfdAdvice(refusal: string, as: readonly string[]): Promise<string> {
  const missing: string[] = [
    as.length > 0
      ? 'QEMU_USER has no capability'
      : 'the worker lacks the capability CAP_SYS_PTRACE (root outside of containers has it)',
  ];
  const setting = await readFile('/proc/sys/vm/unprivileged_userfaultfd', 'utf8').then(
    (text) => text.trim(),
    () => 'missing',
  );
  if (setting !== '1') missing.push(`the sysctl vm.unprivileged_userfaultfd is ${setting}`);
  const device = await runProgram('qemuProbe', 'env', [
    ...as,
    'sh',
    '-c',
    '[ -r /dev/userfaultfd ] && [ -w /dev/userfaultfd ]',
  ]).then(
    () => true,
    () => false,
  );
  if (!device) missing.push('/dev/userfaultfd, which QEMU 8.0 and newer use, cannot be opened');
  return `QEMU cannot wake guests lazily (${refusal}): ${missing.join(', ')}; one of them has to change`;
}

async function totalMemoryMiB(): Promise<number> {
  const match = /^MemTotal:\s+(\d+) kB/m.exec(await readFile('/proc/meminfo', 'utf8'));
  return Math.floor(Number(match?.[1] ?? 0) / 1024);
}
