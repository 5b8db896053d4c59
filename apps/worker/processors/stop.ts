import { isDormouseError } from '@dormouse/errors';
import { within } from '@dormouse/limits';
import { seeMachine } from '../giving-way';
import type { OperationOutcome, OperationRun } from '../run-operation';
import type { WorkerContext } from '../worker-context';

/** So long a guest that was asked to shut down is waited for; then its machine is ended. */
const shutDownPatienceMs = 60_000;
const forceEveryMs = 500;

/**
 * Powers the machine off: its memory is given up, its disk stays. The guest is asked to shut down before its machine is ended, unless the stop is
 * forced, or becomes so while the guest takes its time, or nobody knows what the machine is. One that is forced may have overtaken an operation
 * that hangs: the machine is ended first, which ends most of what that waits for, and once more when it has let go, since it may have started another.
 */
export async function stop(context: WorkerContext, run: OperationRun): Promise<OperationOutcome> {
  const { leases } = context;
  const { claimed, machine, leave } = run;
  const { operation, forced } = claimed;
  const overtaken = leases.letGoOf(machine.desktopId, { besides: operation.id });
  const shutDown = !forced && claimed.desktop.state === 'running' && (await asked(context, run));
  if (leave.aborted) return null;
  await end(context, run).catch((error: unknown) => {
    if (!forced || !isDormouseError(error, 'SUPERSEDED')) throw error; // what is overtaken has started one meanwhile, or a successor has
  });
  await within('overtakenWork', overtaken);
  if (forced) await end(context, run);
  return { result: { shutDown } };
}

async function end(context: WorkerContext, { claimed: { desktop, fence, forced } }: OperationRun): Promise<void> {
  await context.hypervisor.release(desktop.id, { byForce: forced, seen: await seeMachine(context, fence) });
}

/** @returns whether the guest has shut down */
async function asked({ hypervisor, ledger }: WorkerContext, { claimed, machine, logger, leave }: OperationRun) {
  const forced = new AbortController();
  const timer = setInterval(() => {
    ledger.viewOperation(claimed.operation.id).then(
      (operation) => operation.forced && forced.abort(),
      (error: unknown) => logger.warn({ err: error }, 'whether the stop is forced could not be read'),
    );
  }, forceEveryMs);
  try {
    const signal = AbortSignal.any([forced.signal, leave]);
    const shutDown = await hypervisor.shutDown(machine, shutDownPatienceMs, signal);
    if (!shutDown && !signal.aborted) logger.warn('the guest has not shut down in time: its machine is ended');
    return shutDown;
  } finally {
    clearInterval(timer);
  }
}
