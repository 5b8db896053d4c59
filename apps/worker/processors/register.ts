import { writableDisks } from '@dormouse/qemu';
import type { OperationOutcome, OperationRun } from '../run-operation';
import type { WorkerContext } from '../worker-context';

/** Tries the launch spec on a real QEMU before a user depends on it. */
export async function register(
  { hypervisor, hostId, images }: WorkerContext,
  { machine }: OperationRun,
): Promise<OperationOutcome> {
  const fingerprint = await hypervisor.examine(machine);
  for (const { image } of writableDisks(machine.launchSpec)) images.want(image);
  return { desktop: { fingerprint, hostId } };
}
