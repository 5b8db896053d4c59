import { within } from '@dormouse/limits';
import type { OperationOutcome, OperationRun } from '../run-operation';
import type { WorkerContext } from '../worker-context';

/**
 * Powers the machine off: its memory is given up, its disk stays. One that is forced may have overtaken an operation that hangs: the
 * machine is ended first, which ends most of what that waits for, and once more when it has let go, since it may have started another.
 */
export async function stop(
  { hypervisor, leases }: WorkerContext,
  { claimed: { operation, forced }, machine }: OperationRun,
): Promise<OperationOutcome> {
  const overtaken = leases.letGoOf(machine.desktopId, { besides: operation.id });
  await hypervisor.release(machine.desktopId, forced);
  await within('overtakenWork', overtaken);
  if (forced) await hypervisor.release(machine.desktopId, true);
  return {};
}
