import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { plainEnvironment } from '@dormouse/process';

export type Accelerator = 'kvm' | 'tcg';
export type AcceleratorChoice = Accelerator | 'auto';

/** mov $0x10,%al; out %al,$0xf4; hlt: isa-debug-exit ends QEMU with status (0x10 << 1) | 1. */
const bootSectorCode = Buffer.from('b010e6f4f4', 'hex');
const exitStatus = 33;
/** A working accelerator boots it in a fifth of a second; a broken one never does. */
const patienceMs = 2_000;

/**
 * Finds out whether `accelerator` really runs a guest: `/dev/kvm` can open, create a machine, and then hang it.
 * @param scratch directory for the boot sector
 */
async function runsGuests(qemu: string, accelerator: Accelerator, scratch: string): Promise<boolean> {
  const image = join(scratch, 'probe.img');
  const sector = Buffer.alloc(512);
  bootSectorCode.copy(sector);
  sector.writeUInt16BE(0x55aa, 510);
  await writeFile(image, sector);
  const args = [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-machine', `pc,accel=${accelerator}`, '-m', '16M'],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
    ...['-drive', `file=${image},format=raw,if=ide,read-only=off,snapshot=on`],
  ];
  return new Promise((resolve) => {
    execFile(qemu, args, { timeout: patienceMs, killSignal: 'SIGKILL', env: plainEnvironment() }, (error) =>
      resolve(error?.code === exitStatus),
    );
  });
}

/**
 * The accelerator to use: the one chosen, or for `auto` KVM when it runs guests and TCG when not.
 * @param scratchDirectory where the boot sector may lie for a moment
 */
export async function probeAccelerator(
  qemu: string,
  choice: AcceleratorChoice,
  scratchDirectory: string,
): Promise<Accelerator> {
  if (choice !== 'auto') return choice;
  const scratch = await mkdtemp(join(scratchDirectory, '.probe-'));
  try {
    return (await runsGuests(qemu, 'kvm', scratch)) ? 'kvm' : 'tcg';
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
