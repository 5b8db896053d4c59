import { describeError, isDormouseError } from '@dormouse/errors';
import { NotNow, type JobContext, type JobPayload } from '@dormouse/jobs';
import type { ClaimedOperation, FinishOutcome } from '@dormouse/ledger';
import { logAbout, type Logger, type Metrics } from '@dormouse/observability';
import { outdatedArguments, parseLaunchSpec, type LaunchSpec } from '@dormouse/qemu';
import { postgresAway } from '@dormouse/persistence';
import type { JsonObject, OperationKind } from '@dormouse/session';
import type { Machine, MachineId } from '@dormouse/hypervisor';
import { seeMachine } from './giving-way';
import { leaseMs } from './leases';
import type { WorkerContext } from './worker-context';

/** An operation in this worker's hands. */
export interface OperationRun {
  readonly claimed: ClaimedOperation;
  /** How long ago the operation was asked for. */
  readonly ageMs: () => number;
  /** With the one that was seen when the operation began. */
  readonly machine: Machine & { readonly seen: MachineId | null };
  readonly logger: Logger;
  /** Aborted when the worker stops or has lost the operation: leave everything so that a successor can go on. */
  readonly leave: AbortSignal;
}

/** How soon a job that found no free slot looks again: one that somebody may be waiting for, and a save. */
const slotRetryMs = 200;
const saveRetryMs = 1_000;

/** What the operation came to: with an error it has failed. Null when it is left to a successor. */
export type OperationOutcome = (Pick<FinishOutcome, 'result' | 'desktop'> & { readonly error?: unknown }) | null;

/**
 * Claims the operation of a job, works, and reports its end. A job that finds nothing to claim ends quietly. What the
 * work throws is the operation's failure; what the ledger throws is not, and goes back to the queue.
 */
export async function runOperation(
  context: WorkerContext,
  { operationId, generation }: JobPayload<'save'>,
  { signal }: JobContext,
  work: (run: OperationRun) => Promise<OperationOutcome>,
): Promise<void> {
  // Redis, away for long, has given the job out again while we are at it: we still are.
  if (context.leases.holds(operationId)) return;
  const askedAtMs = performance.now();
  const claimed = await claim(context, operationId, generation);
  if (claimed === null) return;
  const { desktop, operation, fence } = claimed;
  const logger = logAbout(context.logger, { operationId, desktopId: desktop.id });
  logger.info({ takenOver: claimed.takenOver, attempt: operation.attempt }, `${operation.kind} begins`);
  tellClaim(context.metrics, claimed);
  const startedMs = performance.now();
  // By the ledger's clock until it was claimed, and then by ours, whatever time it shows.
  const ageMs = (): number => Math.round(claimed.waitedMs + performance.now() - startedMs);
  const outcome = await context.leases.during({ operationId, desktopId: desktop.id, askedAtMs }, async (lost) => {
    const leave = AbortSignal.any([signal, lost]);
    try {
      const launchSpec = parseLaunchSpec(claimed.launchSpec);
      const seen = await seeMachine(context, fence);
      const machine = { desktopId: desktop.id, launchSpec, diskGeneration: desktop.diskGeneration, seen };
      const outdated = startsMachine.has(operation.kind) ? outdatedIn(launchSpec, logger) : {};
      const done = await work({ claimed, ageMs, machine, logger, leave });
      if (done === null) return null;
      const { error, ...found } = done;
      return error === undefined
        ? ({ status: 'succeeded', ...found, result: { ...found.result, ...outdated } } as const)
        : { ...found, ...failed(error, operation.kind, logger) };
    } catch (error) {
      if (leave.aborted || isDormouseError(error, 'SUPERSEDED')) return null;
      if (postgresAway(error) !== null) throw error; // says nothing of the desktop: the next job goes on with it
      countTimeLimit(context.metrics, error);
      return failed(error, operation.kind, logger);
    }
  });
  if (outcome === null) {
    logger.info(`${operation.kind} is left to the next worker`);
    return;
  }
  await context.ledger.finish(fence, outcome);
  context.garbage.want(desktop.id);
  const seconds = (performance.now() - startedMs) / 1000;
  if (outcome.status === 'succeeded') countBytes(context.metrics, operation.kind, outcome.result ?? {});
  logger.info({ seconds, ...outcome.result }, `${operation.kind} ${outcome.status}`);
}

function tellClaim({ waitSeconds, repairs }: Metrics, { operation, takenOver }: ClaimedOperation): void {
  const { kind, phase, attempt, createdAt, startedAt } = operation;
  if (attempt === 1 && startedAt !== null) {
    waitSeconds.observe({ kind }, (Date.parse(startedAt) - Date.parse(createdAt)) / 1000);
  }
  // One that lingers was left on purpose.
  if (takenOver && phase !== 'linger') repairs.inc({ repair: 'adopted' });
}

/** A wait that ended by its limit names the limit, which is what an operator wants to see a curve of. */
function countTimeLimit({ timeLimits }: Metrics, error: unknown): void {
  const waitedFor = isDormouseError(error) ? error.details['waitedFor'] : undefined;
  if (typeof waitedFor === 'string') timeLimits.inc({ waited_for: waitedFor });
}

/** What of a result is counted in bytes, under which name. */
const counted: Partial<Record<OperationKind, Readonly<Record<string, string>>>> = {
  save: { ramBytes: 'memory', storedBytes: 'stored' },
  restore: { memoryBytes: 'memory' },
};

function countBytes({ bytes }: Metrics, kind: OperationKind, result: JsonObject): void {
  for (const [fact, what] of Object.entries(counted[kind] ?? {})) {
    const value = result[fact];
    if (typeof value === 'number') bytes.inc({ kind, what }, value);
  }
}

/** @throws NotNow */
async function claim(
  { ledger, workerId, hostId }: WorkerContext,
  operationId: string,
  generation: number,
): Promise<ClaimedOperation | null> {
  try {
    return await ledger.claim(operationId, generation, workerId, leaseMs, hostId);
  } catch (error) {
    if (!isDormouseError(error, 'HOST_BUSY')) throw error;
    throw new NotNow(error.details['slot'] === 'save' ? saveRetryMs : slotRetryMs, error);
  }
}

const startsMachine: ReadonlySet<OperationKind> = new Set(['boot', 'restore']);

/**
 * Of a desktop that was registered before its arguments were looked at: it is started as ever, and told.
 * @throws LAUNCH_SPEC_INVALID when it must not be
 */
function outdatedIn(launchSpec: LaunchSpec, logger: Logger): JsonObject {
  const problems = outdatedArguments(launchSpec);
  if (problems.length === 0) return {};
  logger.warn({ outdatedArguments: problems }, 'the launch spec has arguments that are refused now; register it anew');
  return { outdatedArguments: problems };
}

function failed(error: unknown, kind: OperationKind, logger: Logger): FinishOutcome {
  if (isDormouseError(error, 'CANCELLED')) return { status: 'cancelled' };
  if (isDormouseError(error, 'GUEST_SHUT_DOWN')) logger.info(`the guest has shut down: the ${kind} is over`);
  else logger.error({ err: error }, `${kind} failed`);
  return { status: 'failed', error: describeError(error) };
}
