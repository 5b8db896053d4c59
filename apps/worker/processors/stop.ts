import type { OperationOutcome, OperationRun } from '../run-operation';
import type { WorkerContext } from '../worker-context';

/** Powers the machine off: its memory is given up, its disk stays. */
export async function stop({ hypervisor }: WorkerContext, { machine }: OperationRun): Promise<OperationOutcome> {
  await hypervisor.release(machine.desktopId);
  return {};
}
