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
import type { CheckpointView } from '@dormouse/ledger';
import type { JsonObject } from '@dormouse/session';
import { writesToDisk } from '../disk-generation';
import { keysForWake } from '../checkpoint-keys';
import { whyNot } from '../giving-way';
import type { OperationOutcome, OperationRun } from '../run-operation';
import { watchCancellation } from '../watch-cancellation';
import type { WorkerContext } from '../worker-context';

/** The guest runs by then; this is for an agent that is itself still on its way from the store. */
const readyPatienceMs = 60_000;

/**
 * Place (does the machine fit this host) → wake (the guest runs and answers) → hydrate (the rest of its memory comes).
 * Until the guest runs a failure costs nothing: the checkpoint and its disk layer are only read.
 */
export async function restore(context: WorkerContext, run: OperationRun): Promise<OperationOutcome> {
  const { claimed, leave } = run;
  const layer = writesToDisk(run.machine.launchSpec) ? claimed.layer : null;
  const diskGeneration = layer?.generation ?? null;
  const machine = { ...run.machine, diskGeneration };
  try {
    const found = claimed.takenOver ? await takeOver(context, { ...run, machine }) : null;
    const wake = found ?? (await wakeUp(context, { ...run, machine }));
    const hydrated = wake === 'complete' ? {} : await hydrate(context, run, wake);
    if (hydrated === 'left') return null;
    const result = { ...claimed.operation.result, ...hydrated };
    return { result, desktop: { hostId: context.hostId, ...(diskGeneration !== null && { diskGeneration }) } };
  } catch (error) {
    if (leave.aborted || isDormouseError(error, 'SUPERSEDED')) throw error;
    await giveUp(context, machine);
    throw error;
  }
}

async function wakeUp(context: WorkerContext, { claimed, machine, logger }: OperationRun): Promise<Wake> {
  const { ledger, hypervisor } = context;
  const { fence, operation, checkpoint, layer } = claimed;
  if (checkpoint === null) throw new DormouseError('CHECKPOINT_UNKNOWN', 'the desktop has no checkpoint to wake from');
  await checkPlace(hypervisor, machine, checkpoint);
  if (!(await ledger.advance(fence, 'wake'))) throw await whyNot(ledger, fence);
  const startedMs = performance.now();
  const target = await targetOf(context.keys, { claimed, machine });
  const { wake, failures } = await climb(context, machine, (how) =>
    hypervisor.wake(machine, target, layer?.on ?? null, how).catch((error: unknown) => {
      throw isDormouseError(error, 'CHECKPOINT_UNKNOWN') ? manifestLost(error) : error;
    }),
  );
  const runningMs = Math.round(performance.now() - startedMs);
  const clockSkewMs = await untilReady(wake, logger);
  // From the request to the guest's answer: what the next one is told to expect.
  const ttrMs = Date.now() - Date.parse(operation.createdAt);
  const timings: JsonObject = {
    checkpointId: checkpoint.id,
    ...(failures.length > 0 && { failures }),
    runningMs,
    ...(clockSkewMs !== null && { clockSkewMs }),
    readyMs: Math.round(performance.now() - startedMs),
    ttrMs,
  };
  logger.info(timings, 'the desktop is awake');
  if (await ledger.guestRan(fence, timings)) {
    context.metrics.wakeSeconds.observe(ttrMs / 1000);
    return wake;
  }
  wake.letGo();
  throw await whyNot(ledger, fence);
}

/** Ways to wake, one after the other: until the guest runs nothing is lost by trying. What comes after them needs consent. */
const ladder: readonly WakeHow[] = ['lazy', 'lazy', 'eager'];
/** Errors that another try, or another way, may mend. */
const mendable: readonly ErrorCode[] = ['MACHINE_START_FAILED', 'MIGRATION_FAILED', 'PAGER_FAILED', 'QMP_DISCONNECTED'];

/** @returns the wake, and what failed before it @throws the last failure, the ones before it in its details */
async function climb(
  context: WorkerContext,
  machine: Machine,
  wake: (how: WakeHow) => Promise<Wake>,
): Promise<{ wake: Wake; failures: readonly string[] }> {
  const failures: string[] = [];
  for (const how of ladder) {
    try {
      return { wake: await wake(how), failures };
    } catch (error) {
      if (!isDormouseError(error) || !mendable.includes(error.code)) throw error;
      failures.push(`${how}: ${error.message} (${error.code})`);
      await giveUp(context, machine); // also its layer, to which a guest that ran for a moment may have written
      if (failures.length === ladder.length) {
        throw new DormouseError(error.code, error.message, { ...error.details, failures }, { cause: error });
      }
    }
  }
  throw new DormouseError('INTERNAL', 'there is no way to wake');
}

/** @throws CHECKPOINT_UNKNOWN */
async function targetOf(
  keys: WorkerContext['keys'],
  { claimed, machine }: Pick<OperationRun, 'claimed' | 'machine'>,
): Promise<CheckpointTarget> {
  const { operation, checkpoint } = claimed;
  if (checkpoint === null) throw new DormouseError('CHECKPOINT_UNKNOWN', 'the desktop has no checkpoint to wake from');
  return { operationId: operation.id, checkpointId: checkpoint.id, keys: await keysForWake(keys, machine.desktopId) };
}

/** Compared before anything is started: a machine of another make would load the memory and misread it. */
async function checkPlace(hypervisor: Hypervisor, { launchSpec }: Machine, { facts }: CheckpointView): Promise<void> {
  const saved = (facts['fingerprint'] ?? {}) as Fingerprint;
  const here = await hypervisor.fingerprint(launchSpec);
  const unlike = differences(saved, here);
  if (unlike.length === 0) return;
  const each = unlike.map((name) => `${name} was ${saved[name]} and is ${here[name]} here`);
  throw new DormouseError('HOST_UNSUITABLE', `the checkpoint does not fit this host: ${each.join('; ')}`, { unlike });
}

/** To the store it is a checkpoint that never was; the ledger knows that it was durable. */
function manifestLost(cause: DormouseError): DormouseError {
  return new DormouseError('CHECKPOINT_INCOMPLETE', `its manifest is missing: ${cause.message}`, cause.details, {
    cause,
  });
}

/** @returns how far the guest's clock may be off, in milliseconds; null when that is not known */
async function untilReady(wake: Wake, logger: OperationRun['logger']): Promise<number | null> {
  try {
    return await wake.awaitReady(readyPatienceMs);
  } catch (error) {
    if (!isDormouseError(error, 'GUEST_UNRESPONSIVE')) throw error;
    logger.warn(`the guest runs, but its clock may be wrong: ${error.message}`);
    return null;
  }
}

/**
 * A worker died during the restore; its pager, if it lives, has gone on without it. Before anybody was told that the
 * desktop is awake what cannot be gone on with is cleared away, and null says to begin anew.
 * @throws MACHINE_GONE, PAGER_FAILED when a guest that was in use cannot be made whole
 */
async function takeOver(context: WorkerContext, run: OperationRun): Promise<Wake | 'complete' | null> {
  const inUse = run.claimed.operation.phase === 'hydrate';
  try {
    const wake = await findWake(context, run, inUse);
    if (wake === 'complete' || inUse) return wake;
    await untilReady(wake, run.logger);
    if (!(await context.ledger.guestRan(run.claimed.fence, {}))) throw await whyNot(context.ledger, run.claimed.fence);
    return wake;
  } catch (error) {
    if (inUse || isDormouseError(error, 'SUPERSEDED')) throw error;
    run.logger.warn({ err: error }, 'the wake of the worker before cannot be gone on with; it begins anew');
    // With its disk layer: the guest may have written to it, and the memory of the checkpoint knows nothing of that.
    await giveUp(context, run.machine);
    return null;
  }
}

async function findWake(
  { hypervisor, keys }: WorkerContext,
  run: OperationRun,
  inUse: boolean,
): Promise<Wake | 'complete'> {
  const { machine } = run;
  if ((await hypervisor.condition(machine.desktopId)) === 'absent') {
    throw new DormouseError('MACHINE_GONE', 'the machine ended before it had all of its memory');
  }
  const wake = await hypervisor.rejoinWake(machine, await targetOf(keys, run));
  if (wake !== null) return wake;
  // A guest whose clock nobody has set yet is rather woken again.
  if (!inUse)
    throw new DormouseError('PAGER_FAILED', 'the pager ended before anybody was told that its guest is awake');
  return 'complete';
}

async function hydrate(
  { ledger }: WorkerContext,
  { claimed, logger, leave }: OperationRun,
  wake: Wake,
): Promise<JsonObject | 'left'> {
  let progress: WakeProgress | null = null;
  // A restore is not called off once its guest runs: only the progress is of interest here.
  const watch = watchCancellation(ledger, claimed.fence, () => progress && inBytes(progress), logger);
  try {
    const left = new Promise<'left'>((resolve) => {
      if (leave.aborted) resolve('left');
      leave.addEventListener('abort', () => resolve('left'));
    });
    const hydrated = await Promise.race([wake.hydrated((news) => (progress = news)), left]);
    return hydrated === 'left' ? hydrated : { ...hydrated, memoryBytes: hydrated.totalPages * pageBytes };
  } finally {
    watch.stop();
    wake.letGo();
  }
}

function inBytes(progress: WakeProgress): JsonObject {
  const { sentPages, totalPages } = progress;
  return { ...progress, doneBytes: sentPages * pageBytes, totalBytes: totalPages * pageBytes };
}

/** What cannot be made whole must not run on. The layer it wrote to goes with it: the checkpoint's own disk is below. */
async function giveUp({ hypervisor }: WorkerContext, machine: Machine): Promise<void> {
  await hypervisor.release(machine.desktopId);
  if (machine.diskGeneration !== null) await hypervisor.discardGeneration(machine, machine.diskGeneration);
}
