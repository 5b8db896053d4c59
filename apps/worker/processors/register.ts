import type { OperationOutcome, OperationRun } from '../run-operation';
import type { WorkerContext } from '../worker-context';

/** Tries the launch spec on a real QEMU before a user depends on it. */
export async function register(
  { hypervisor, hostId }: WorkerContext,
  { machine }: OperationRun,
): Promise<OperationOutcome> {
  const fingerprint = await hypervisor.examine(machine);
  return { desktop: { fingerprint, hostId } };
}
