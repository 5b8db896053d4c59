import { setTimeout as sleep } from 'node:timers/promises';
import { pageBytes } from '@dormouse/checkpoint';
import { DormouseError, isDormouseError, type ErrorCode } from '@dormouse/errors';
import {
  differences,
  type CheckpointTarget,
  type Fingerprint,
  type Hypervisor,
  type Machine,
  type Wake,
  type WakeHow,
  type WakeProgress,
} from '@dormouse/hypervisor';
import { limits } from '@dormouse/limits';
import { postgresAway } from '@dormouse/persistence';
import type { CheckpointView, OperationView } from '@dormouse/views';
import { hasUnlayeredDisks } from '@dormouse/qemu';
import type { JsonObject } from '@dormouse/session';
import { writesToDisk } from '../disk-generation';
import { keysForWake } from '../checkpoint-keys';
import { guestShutDown, whenShutDown } from '../guest-shut-down';
import { whyNot } from '../giving-way';
import type { OperationOutcome, OperationRun } from '../run-operation';
import { watchCancellation } from '../watch-cancellation';
import type { WorkerContext } from '../worker-context';

/** A restore, once it is known what it wakes. */
interface Restoring extends OperationRun {
  readonly checkpoint: CheckpointView;
  readonly target: CheckpointTarget;
}

/**
 * Place (does the machine fit this host) → wake (the guest runs) → hydrate (the rest of its memory comes, and its agent sets its clock
 * as soon as it can). The desktop is its user's when the guest runs: an agent that is silent keeps nobody waiting. Until then a failure
 * costs nothing: the checkpoint and its disk layer are only read. What a guest has written stays, whatever becomes of its wake; the
 * ledger and a person say what is to be done with it.
 */
export async function restore(context: WorkerContext, run: OperationRun): Promise<OperationOutcome> {
  const { claimed, leave, logger } = run;
  const layer = writesToDisk(run.machine.launchSpec) ? claimed.layer : null;
  const diskGeneration = layer?.generation ?? null;
  const machine = { ...run.machine, diskGeneration };
  const desktop = foundOf(context, machine);
  let ran = isInUse(run);
  let { seen } = machine;
  try {
    const restoring = { ...run, machine, ...(await whatToWake(context.keys, run)) };
    const found = claimed.takenOver ? await takeOver(context, restoring) : null;
    const wake = found ?? (await wakeUp(context, restoring));
    if (wake === 'elsewhere') return null;
    ran = true;
    if (wake !== 'complete') seen = wake.machine;
    const greeted = greet(context, { ...run, machine });
    const hydrated = wake === 'complete' ? {} : await hydrate(context, run, wake);
    if (hydrated === 'left') return null;
    const answer = await Promise.race([greeted, sleep(limits.agentAfterHydration.ms, {}, { ref: false })]);
    const result = { ...claimed.operation.result, ...hydrated, ...answer };
    if ((await context.hypervisor.condition(machine.desktopId)) === 'shut-down') throw guestShutDown(machine.desktopId);
    return { result, desktop };
  } catch (error) {
    if (leave.aborted || isDormouseError(error, 'SUPERSEDED') || postgresAway(error) !== null) throw error;
    if (isInUse(run) && isDormouseError(error, 'KEY_UNAVAILABLE')) {
      logger.warn({ err: error }, 'the pager of the worker before is not joined yet; its guest runs on');
      return null;
    }
    // Overtaken, by a forced stop or another worker: the machine that is there now is not ours to end.
    const why = await whyNot(context.ledger, claimed.fence).catch(() => null);
    if (why?.code === 'SUPERSEDED') throw error;
    const hasShutDown = (await context.hypervisor.condition(machine.desktopId)) === 'shut-down';
    const wrote = await giveUp(context, { ...machine, seen }, ran);
    if (hasShutDown) return { error: guestShutDown(machine.desktopId), desktop };
    if (ran || !wrote) throw error;
    return { error: interrupted(error), desktop };
  }
}

/** @throws CHECKPOINT_UNKNOWN, KEY_UNAVAILABLE, KEY_MISSING */
async function whatToWake(
  keys: WorkerContext['keys'],
  { claimed: { operation, checkpoint }, machine }: OperationRun,
): Promise<Pick<Restoring, 'checkpoint' | 'target'>> {
  if (checkpoint === null) throw new DormouseError('CHECKPOINT_UNKNOWN', 'the desktop has no checkpoint to wake from');
  const keysOfDesktop = await keysForWake(keys, machine.desktopId);
  const paused = checkpoint.facts['paused'] === true;
  return {
    checkpoint,
    target: { operationId: operation.id, checkpointId: checkpoint.id, keys: keysOfDesktop, paused },
  };
}

/** Its user has the desktop already: what cannot be gone on with now is not for that given up. */
function isInUse({ claimed }: OperationRun): boolean {
  return claimed.takenOver && claimed.operation.phase === 'hydrate';
}

async function wakeUp(context: WorkerContext, run: Restoring): Promise<Wake | 'elsewhere'> {
  const { ledger, hypervisor } = context;
  const { claimed, checkpoint, machine, target, logger } = run;
  const { fence, operation, layer } = claimed;
  checkDisks(run);
  const misfit = await misfitOf(hypervisor, machine, checkpoint);
  if (misfit !== null) {
    const failures = [...failuresOf(operation), inWords('place', misfit)];
    if ((await ledger.moveOn(fence, failures)) !== null) return 'elsewhere';
    throw misfit;
  }
  if (!(await ledger.advance(fence, 'wake'))) throw await whyNot(ledger, fence);
  const startedMs = performance.now();
  const climbed = await climb(context, run, (how) =>
    hypervisor.wake(machine, target, layer?.on ?? null, how).catch((error: unknown) => {
      throw isDormouseError(error, 'CHECKPOINT_UNKNOWN') ? manifestLost(error) : error;
    }),
  );
  if (climbed === 'elsewhere') return climbed;
  const { wake, failures } = climbed;
  const runningMs = Math.round(performance.now() - startedMs);
  // From the request to the running guest: what the next one is told to expect.
  const ttrMs = run.ageMs();
  const timings: JsonObject = {
    checkpointId: checkpoint.id,
    ...(failures.length > 0 && { failures }),
    machineWaited: wake.machineWaited,
    runningMs,
    ttrMs,
  };
  logger.info(timings, 'the desktop is awake');
  if (await ledger.guestRan(fence, timings, foundOf(context, machine))) {
    context.metrics.wakeSeconds.observe(ttrMs / 1000);
    return wake;
  }
  wake.letGo();
  throw await whyNot(ledger, fence);
}

/**
 * What is tried, one after the other: until the guest runs nothing is lost by trying. What comes after it needs consent, and is the
 * ledger's.
 */
const ladder = ['lazy', 'lazy', 'elsewhere', 'eager'] as const satisfies readonly (WakeHow | 'elsewhere')[];
/** Errors that another try, another host or another way may mend. */
const mendable: readonly ErrorCode[] = [
  ...(['MACHINE_START_FAILED', 'MACHINE_SILENT', 'MIGRATION_FAILED'] as const),
  ...(['PAGER_FAILED', 'QMP_DISCONNECTED'] as const),
];

/**
 * Tells each failure as it happens.
 * @returns the wake, and what failed before it; or that another host has it now
 * @throws the last failure, all of them in its details
 */
async function climb(
  context: WorkerContext,
  { claimed: { fence, operation }, machine, leave }: Restoring,
  wake: (how: WakeHow) => Promise<Wake>,
): Promise<{ wake: Wake; failures: readonly string[] } | 'elsewhere'> {
  const { ledger } = context;
  const failures = [...failuresOf(operation)];
  let last = new DormouseError('INTERNAL', 'there is no way to wake');
  for (const step of ladder) {
    if (step === 'elsewhere') {
      if ((await ledger.moveOn(fence, failures)) !== null) return step;
      continue;
    }
    try {
      return { wake: await wake(step), failures };
    } catch (error) {
      if (leave.aborted || !isDormouseError(error) || !mendable.includes(error.code)) throw error;
      // A stop that has overtaken the wake ends its machine, which looks like a failure: whatever starts next is not ours.
      if (!(await ledger.goesOn(fence))) throw await whyNot(ledger, fence);
      last = error;
      failures.push(inWords(step, error));
      if (await giveUp(context, machine)) throw interrupted(error);
      await ledger.progress(fence, { failures });
    }
  }
  throw new DormouseError(last.code, last.message, { ...last.details, failures }, { cause: last });
}

/** Its guest ran for a moment and wrote: to wake the checkpoint once more would throw that away. */
function interrupted(cause: unknown): DormouseError {
  if (isDormouseError(cause, 'WAKE_INTERRUPTED')) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `the machine was lost after its guest had written to its disk, and that layer is kept: ${why}`;
  return new DormouseError('WAKE_INTERRUPTED', message, isDormouseError(cause) ? cause.details : {}, { cause });
}

function foundOf({ hostId }: WorkerContext, { diskGeneration }: Machine) {
  return { hostId, ...(diskGeneration !== null && { diskGeneration }) };
}

/** Of the attempts before this one, on this host and on others. */
function failuresOf({ progress }: Pick<OperationView, 'progress'>): readonly string[] {
  return (progress['failures'] ?? []) as readonly string[];
}

function inWords(step: string, { message, code }: DormouseError): string {
  return `${step}: ${message} (${code})`;
}

/** A desktop that was registered before such disks were refused. @throws LAUNCH_SPEC_INVALID */
function checkDisks({ claimed, checkpoint, machine }: Restoring): void {
  if (checkpoint.id === claimed.desktop.checkpointId || !hasUnlayeredDisks(machine.launchSpec)) return;
  const message =
    'its extraArguments have a disk without layers, which is not as it was at that checkpoint: the memory of then would tear it';
  throw new DormouseError('LAUNCH_SPEC_INVALID', message, { checkpointId: checkpoint.id });
}

/** Compared before anything is started: a machine of another make would load the memory and misread it. */
async function misfitOf(
  hypervisor: Hypervisor,
  { launchSpec }: Machine,
  { facts }: CheckpointView,
): Promise<DormouseError | null> {
  const saved = (facts['fingerprint'] ?? {}) as Fingerprint;
  const here = await hypervisor.fingerprint(launchSpec);
  const unlike = differences(saved, here);
  if (unlike.length === 0) return null;
  const each = unlike.map((name) => `${name} was ${saved[name]} and is ${here[name]} here`);
  return new DormouseError('HOST_UNSUITABLE', `the checkpoint does not fit this host: ${each.join('; ')}`, { unlike });
}

/** To the store it is a checkpoint that never was; the ledger knows that it was durable. */
function manifestLost(cause: DormouseError): DormouseError {
  return new DormouseError('CHECKPOINT_INCOMPLETE', `its manifest is missing: ${cause.message}`, cause.details, {
    cause,
  });
}

/** Never rejects: the guest runs whatever its agent does. @returns what the operation has to tell of it */
async function greet({ hypervisor }: WorkerContext, { machine, logger, leave }: OperationRun): Promise<JsonObject> {
  const startedMs = performance.now();
  try {
    const clockSkewMs = await hypervisor.greet(machine, limits.agentAfterWake.ms, leave);
    const readyMs = Math.round(performance.now() - startedMs);
    return { readyMs, ...(clockSkewMs !== null && { clockSkewMs }) };
  } catch (error) {
    if (!leave.aborted) logger.warn({ err: error }, 'the guest runs, but its clock may be wrong: its agent is silent');
    return {};
  }
}

/**
 * A worker died during the restore; its pager, if it lives, has gone on without it. Before anybody was told that the
 * desktop is awake what cannot be gone on with is cleared away, and null says to begin anew.
 * @throws MACHINE_GONE, PAGER_FAILED when a guest that was in use cannot be made whole
 */
async function takeOver(context: WorkerContext, run: Restoring): Promise<Wake | 'complete' | null> {
  const inUse = isInUse(run);
  try {
    const wake = await findWake(context, run);
    if (inUse) return wake;
    const { fence } = run.claimed;
    if (!(await context.ledger.guestRan(fence, {}, foundOf(context, run.machine))))
      throw await whyNot(context.ledger, fence);
    return wake;
  } catch (error) {
    if (inUse || isDormouseError(error, 'SUPERSEDED') || postgresAway(error) !== null) throw error;
    run.logger.warn({ err: error }, 'the wake of the worker before cannot be gone on with; it begins anew');
    if (await giveUp(context, run.machine)) throw interrupted(error);
    return null;
  }
}

async function findWake({ hypervisor }: WorkerContext, { machine, target }: Restoring): Promise<Wake | 'complete'> {
  if ((await hypervisor.condition(machine.desktopId)) === 'absent') {
    throw new DormouseError('MACHINE_GONE', 'the machine ended before it had all of its memory');
  }
  return (await hypervisor.rejoinWake(machine, target)) ?? 'complete';
}

async function hydrate(
  { ledger, hypervisor }: WorkerContext,
  { claimed, machine, logger, leave }: OperationRun,
  wake: Wake,
): Promise<JsonObject | 'left'> {
  let progress: WakeProgress | null = null;
  // A restore is not called off once its guest runs: only the progress is of interest here.
  const watch = watchCancellation(ledger, claimed.fence, () => progress && inBytes(progress), logger);
  const shutDown = whenShutDown(hypervisor, machine.desktopId);
  try {
    const left = new Promise<'left'>((resolve) => {
      if (leave.aborted) resolve('left');
      leave.addEventListener('abort', () => resolve('left'));
    });
    const hydrated = await Promise.race([wake.hydrated((news) => (progress = news)), shutDown.rejects, left]);
    if (hydrated === 'left') return hydrated;
    progress = hydrated;
    await watch.finish();
    return { ...hydrated, memoryBytes: hydrated.totalPages * pageBytes };
  } finally {
    shutDown.stop();
    watch.stop();
    wake.letGo();
  }
}

function inBytes(progress: WakeProgress): JsonObject {
  const { sentPages, totalPages } = progress;
  return { ...progress, doneBytes: sentPages * pageBytes, totalBytes: totalPages * pageBytes };
}

/**
 * What cannot be made whole must not run on. Its layer goes when there is nothing in it, unless it is the desktop's already.
 * @returns whether its guest has written to its disk
 */
async function giveUp({ hypervisor }: WorkerContext, machine: Machine, ran = false): Promise<boolean> {
  await hypervisor.release(machine.desktopId, machine);
  if (machine.diskGeneration === null || ran) return ran;
  return !(await hypervisor.discardGeneration(machine, machine.diskGeneration));
}
