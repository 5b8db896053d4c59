import { isDormouseError } from '@dormouse/errors';
import { limits } from '@dormouse/limits';
import { postgresAway } from '@dormouse/persistence';
import { writableDisks } from '@dormouse/qemu';
import { writesToDisk } from '../disk-generation';
import { whyNot } from '../giving-way';
import type { OperationOutcome, OperationRun } from '../run-operation';
import type { WorkerContext } from '../worker-context';

/**
 * Boot (the machine is started) → answer (its guest boots, in its own time and in nobody's slot). A guest that never answers runs all
 * the same.
 */
export async function boot(
  { hypervisor, hostId, images, ledger }: WorkerContext,
  { claimed, machine, logger, leave }: OperationRun,
): Promise<OperationOutcome> {
  const layer = writesToDisk(machine.launchSpec) ? claimed.layer : null;
  const booted = { ...machine, diskGeneration: layer?.generation ?? null };
  let { seen } = machine;
  try {
    // Taken over from a worker that died: what it has started is not started again.
    const found = claimed.takenOver ? await hypervisor.condition(machine.desktopId) : 'absent';
    const runs = found !== 'absent' && found !== 'shut-down';
    if (runs) hypervisor.follow(machine.desktopId);
    if (!runs) seen = await hypervisor.boot(booted, layer?.on ?? null);
    if (!(await ledger.advance(claimed.fence, 'answer'))) throw await whyNot(ledger, claimed.fence);
    await hypervisor.awaitGuest(booted, limits.agentAtBoot.ms, leave);
  } catch (error) {
    if (leave.aborted || isDormouseError(error, 'SUPERSEDED')) return null;
    if (postgresAway(error) !== null) throw error;
    if (!isDormouseError(error, 'GUEST_UNRESPONSIVE')) {
      await hypervisor.release(machine.desktopId, { seen }); // the desktop is off now, and its machine with it
      if (!layer?.isNew || (await hypervisor.discardGeneration(booted, layer.generation))) throw error;
      return { error, desktop: { hostId, diskGeneration: layer.generation } };
    }
    logger.warn(`the guest runs, but its agent has not answered for ${limits.agentAtBoot.ms / 1000} s`);
  }
  for (const { image } of writableDisks(machine.launchSpec)) images.want(image);
  return { desktop: { hostId, ...(layer !== null && { diskGeneration: layer.generation }) } };
}
