import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diesWithParent, identifyProcess, isProcessAlive, plainEnvironment } from '@dormouse/process';

export type Accelerator = 'kvm' | 'tcg';
export type AcceleratorChoice = Accelerator | 'auto';

/** mov $0x10,%al; out %al,$0xf4; hlt: isa-debug-exit ends QEMU with status (0x10 << 1) | 1. */
const bootSectorCode = Buffer.from('b010e6f4f4', 'hex');
const exitStatus = 33;
const bootDisk = 'probe.img';
/** Of the directory of a try; the process that tries comes after it. */
const prefix = '.probe-';
/** A working accelerator boots it in a fifth of a second; a broken one never does. */
const patienceMs = 2_000;

/**
 * Finds out whether `accelerator` really runs a guest: `/dev/kvm` can open, create a machine, and then hang it.
 * @param scratch directory for the boot sector, in which QEMU is started: its user need not reach it
 */
async function runsGuests(
  qemu: string,
  accelerator: Accelerator,
  scratch: string,
  as: readonly string[],
): Promise<boolean> {
  const sector = Buffer.alloc(512);
  bootSectorCode.copy(sector);
  sector.writeUInt16BE(0x55aa, 510);
  await writeFile(join(scratch, bootDisk), sector);
  const args = [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-machine', `pc,accel=${accelerator}`, '-m', '16M'],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
    ...['-drive', `file=${bootDisk},format=raw,if=ide,read-only=off,snapshot=on`],
  ];
  return new Promise((resolve) => {
    // A worker that is killed meanwhile leaves no guest behind that hangs.
    const [program, ...rest] = [...as, ...diesWithParent('SIGKILL'), qemu, ...args] as [string, ...string[]];
    const options = { cwd: scratch, timeout: patienceMs, killSignal: 'SIGKILL', env: plainEnvironment() } as const;
    execFile(program, rest, options, (error) => resolve(error?.code === exitStatus));
  });
}

/**
 * The accelerator to use: the one chosen, or for `auto` KVM when it runs guests and TCG when not.
 * @param scratchDirectory where the boot sector may lie for a moment
 * @param as goes in front of the command: as whom QEMU is to run
 */
export async function probeAccelerator(
  qemu: string,
  choice: AcceleratorChoice,
  scratchDirectory: string,
  as: readonly string[] = [],
): Promise<Accelerator> {
  await clearAway(scratchDirectory);
  if (choice !== 'auto') return choice;
  const { pid, startTicks } = identifyProcess(process.pid)!;
  const scratch = await mkdtemp(join(scratchDirectory, `${prefix}${pid}.${startTicks}.`));
  try {
    await chmod(scratch, 0o711);
    return (await runsGuests(qemu, 'kvm', scratch, as)) ? 'kvm' : 'tcg';
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** What workers have left that were killed while they tried. */
async function clearAway(scratchDirectory: string): Promise<void> {
  for (const name of await readdir(scratchDirectory)) {
    if (!name.startsWith(prefix)) continue;
    const [pid, startTicks] = name.slice(prefix.length).split('.').map(Number);
    if (pid && startTicks && isProcessAlive({ pid, startTicks })) continue;
    await rm(join(scratchDirectory, name), { recursive: true, force: true });
  }
}
