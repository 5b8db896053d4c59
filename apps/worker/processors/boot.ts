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
  const isFirst = machine.diskGeneration === null && writesToDisk(machine.launchSpec);
  const diskGeneration = isFirst ? claimed.operation.id : machine.diskGeneration;
  const booted = { ...machine, diskGeneration };
  try {
    // Taken over from a worker that died: what it has started is not started again.
    const runs = claimed.takenOver && (await hypervisor.condition(machine.desktopId)) === 'running';
    if (!runs) await hypervisor.boot(booted);
    await hypervisor.awaitGuest(booted, guestPatienceMs, leave);
  } catch (error) {
    if (leave.aborted) return null;
    if (!isDormouseError(error, 'GUEST_UNRESPONSIVE')) {
      await hypervisor.release(machine.desktopId); // the desktop is off now, and its machine with it
      if (isFirst) await hypervisor.discardGeneration(booted, claimed.operation.id);
      throw error;
    }
    logger.warn(`the guest runs, but its agent has not answered for ${guestPatienceMs / 1000} s`);
  }
  for (const { image } of writableDisks(machine.launchSpec)) images.want(image);
  return { desktop: { hostId, ...(diskGeneration === null ? {} : { diskGeneration }) } };
}
