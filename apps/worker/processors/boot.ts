import { isDormouseError } from '@dormouse/errors';
import { writableDisks } from '@dormouse/qemu';
import { writesToDisk } from '../disk-generation';
import type { OperationOutcome, OperationRun } from '../run-operation';
import type { WorkerContext } from '../worker-context';

/** A guest that boots on a busy host takes its time; one that never says so runs all the same. */
const guestPatienceMs = 180_000;

export async function boot(
  { hypervisor, hostId, images }: WorkerContext,
  { claimed, machine, logger, leave }: OperationRun,
): Promise<OperationOutcome> {
  const layer = writesToDisk(machine.launchSpec) ? claimed.layer : null;
  const booted = { ...machine, diskGeneration: layer?.generation ?? null };
  try {
    // Taken over from a worker that died: what it has started is not started again.
    const found = claimed.takenOver ? await hypervisor.condition(machine.desktopId) : 'absent';
    const runs = found !== 'absent' && found !== 'shut-down';
    if (runs) hypervisor.follow(machine.desktopId);
    if (!runs) await hypervisor.boot(booted, layer?.on ?? null);
    await hypervisor.awaitGuest(booted, guestPatienceMs, leave);
  } catch (error) {
    if (leave.aborted) return null;
    if (!isDormouseError(error, 'GUEST_UNRESPONSIVE')) {
      await hypervisor.release(machine.desktopId); // the desktop is off now, and its machine with it
      if (!layer?.isNew || (await hypervisor.discardGeneration(booted, layer.generation))) throw error;
      return { error, desktop: { hostId, diskGeneration: layer.generation } };
    }
    logger.warn(`the guest runs, but its agent has not answered for ${guestPatienceMs / 1000} s`);
  }
  for (const { image } of writableDisks(machine.launchSpec)) images.want(image);
  return { desktop: { hostId, ...(layer !== null && { diskGeneration: layer.generation }) } };
}
