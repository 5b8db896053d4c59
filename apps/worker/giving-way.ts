import { DormouseError } from '@dormouse/errors';
import { within } from '@dormouse/limits';
import type { MachineId } from '@dormouse/hypervisor';
import type { Fence, SessionLedger } from '@dormouse/ledger';
import type { WorkerContext } from './worker-context';

export function cancelled(): DormouseError {
  return new DormouseError('CANCELLED', 'the operation was called off');
}

/**
 * Why the ledger has answered "no": CANCELLED, and the machine is to be brought back to what it was; or SUPERSEDED by
 * a worker that took over from us, whose business the machine is now: not even a clean-up of ours may touch it.
 */
export async function whyNot(ledger: Pick<SessionLedger, 'viewOperation'>, fence: Fence): Promise<DormouseError> {
  return (await isOurs(ledger, fence)) ? cancelled() : superseded();
}

/**
 * The machine that a desktop has, when it is certainly the business of this operation. A worker that is stopped for longer than its lease, and goes
 * on, acts before it hears that a successor has the operation: on the machine that it has seen, and on no other.
 * @throws SUPERSEDED
 */
export async function seeMachine(
  { hypervisor, ledger }: Pick<WorkerContext, 'hypervisor' | 'ledger'>,
  fence: Fence,
): Promise<MachineId | null> {
  const seen = await hypervisor.seen(fence.desktopId);
  // Asked after the look: what it saw was there while the operation was ours.
  if (seen !== null && !(await isOurs(ledger, fence))) throw superseded();
  return seen;
}

/**
 * What a save is to end with that cannot go on. One whose lease has run out asks first whether it is its own still: a successor may rely on the guest
 * standing still, and what calls the save off lets it run. A ledger that does not answer in time is not waited for: that guest is nobody's.
 * @returns `error`, or SUPERSEDED
 */
export async function unlessTaken(
  error: unknown,
  { ledger, leases }: Pick<WorkerContext, 'ledger' | 'leases'>,
  fence: Fence,
): Promise<unknown> {
  if (leases.certainlyHolds(fence.operationId)) return error;
  const ours = await within('lapsedLease', isOurs(ledger, fence)).catch(() => true);
  return ours ? error : superseded();
}

async function isOurs(ledger: Pick<SessionLedger, 'viewOperation'>, fence: Fence): Promise<boolean> {
  const { attempt, endedAt } = await ledger.viewOperation(fence.operationId);
  return attempt === fence.attempt && endedAt === null;
}

function superseded(): DormouseError {
  return new DormouseError('SUPERSEDED', 'another worker has taken over the operation');
}
