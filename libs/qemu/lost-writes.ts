import type { HostCapabilities } from './host-probe';
import type { MachineParts } from './machine-parts';

/**
 * An emulating QEMU older than 9.0 loses writes of a guest that runs while its memory is sent, when a block of memory is a multiple of 64 pages: it
 * clears many marks of written pages at once, and forgets that its processors go on writing to pages they remember as marked (system/physmem.c;
 * QEMU's commit "physmem: Fix migration dirty bitmap coherency with TCG memory access"). Two pages more keep it on the path that does not forget.
 */
const lossyBytes = 64 * 4096;
export const keptFromItKiB = 8;
const mendedIn = 9;

export function losesWrites({
  accelerator,
  qemuVersion,
}: Pick<HostCapabilities, 'accelerator' | 'qemuVersion'>): boolean {
  return accelerator === 'tcg' && Number.parseInt(qemuVersion, 10) < mendedIn;
}

/** What is lost of this memory on such a host; nothing when its size keeps QEMU from it. */
export function lossy({ name, bytes }: { readonly name: string; readonly bytes: number }): string[] {
  if (bytes % lossyBytes !== 0) return [];
  return [
    `memory ${name} has ${bytes / 1024} KiB, a multiple of 256 KiB: this emulating QEMU would lose writes to it while it is saved. Make it ${keptFromItKiB} KiB larger`,
  ];
}

/** Of what the guest's programs live in; video memory is always lossy, and drawn again. */
export function lossyMainMemory({ blocks, backends }: Pick<MachineParts, 'blocks' | 'backends'>): string[] {
  const main = blocks.filter(({ name }) => name === 'pc.ram');
  return (main.length > 0 ? main : backends).flatMap(lossy);
}
