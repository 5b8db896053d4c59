import { randomUUID } from 'node:crypto';
import { objectKeys } from '@dormouse/checkpoint';
import { isDormouseError } from '@dormouse/errors';
import { timedOut } from '@dormouse/limits';
import { unlessAborted } from '@dormouse/process';
import type { Capture, CaptureProgress } from '@dormouse/hypervisor';
import type { JsonObject } from '@dormouse/session';
import { keysForSave } from '../checkpoint-keys';
import { cancelled, unlessTaken, whyNot } from '../giving-way';
import type { OperationOutcome, OperationRun } from '../run-operation';
import { watchCancellation } from '../watch-cancellation';
import type { WorkerContext } from '../worker-context';

/**
 * Capture (the guest runs) → switchover (it is frozen) → commit (durable) → linger, if the pool wants it (in memory, and in
 * nobody's hands) → release (it is gone). The phases follow each other in one job: from the switchover on a queue in between
 * would be time the guest stands still. Only to linger the job ends, and another goes on: a desktop that waits for its user
 * keeps no worker from another's. Before each step that cannot be taken back the ledger reads the user's presence again.
 * A desktop that nobody has used since it was woken may be let go without a save.
 */
export async function save(context: WorkerContext, run: OperationRun): Promise<OperationOutcome> {
  try {
    return await saved(context, run);
  } catch (error) {
    if (isDormouseError(error, 'GUEST_SHUT_DOWN')) await context.hypervisor.release(run.machine.desktopId, run.machine);
    throw error;
  }
}

async function saved(context: WorkerContext, run: OperationRun): Promise<OperationOutcome> {
  const { ledger } = context;
  const { claimed } = run;
  let result: JsonObject;
  if (claimed.desktop.state === 'resident') {
    result = await takeOverResident(context, run);
  } else {
    if (claimed.takenOver) await takeBack(context, run);
    if (claimed.mayFallBack && (await fallBack(context, run))) return {};
    result = await capture(context, run);
  }
  const lingersUntil = await ledger.linger(claimed.fence);
  if (lingersUntil !== null) {
    run.logger.info({ lingersUntil }, 'the desktop is saved and stays in memory for a while, in case its user returns');
    return null;
  }
  // Killed from here on, a successor finds the desktop resident and goes on with the release.
  if (!(await ledger.beginRelease(claimed.fence))) {
    const why = await whyNot(ledger, claimed.fence);
    if (why.code === 'CANCELLED') await context.hypervisor.thaw(run.machine.desktopId, run.machine.seen);
    throw why;
  }
  await release(context, run, run.machine.diskGeneration);
  return { result };
}

/** A worker died before its checkpoint was committed: its pager has thawed the guest or does so now. */
async function takeBack({ hypervisor, ledger }: WorkerContext, { claimed, machine }: OperationRun): Promise<void> {
  await hypervisor.thaw(machine.desktopId, machine.seen);
  if (!(await ledger.advance(claimed.fence, 'capture'))) throw await whyNot(ledger, claimed.fence);
}

/**
 * A worker died, or left the desktop to linger, after its checkpoint was committed.
 * @throws CANCELLED when it had still thawed the guest: the machine has gone on since, and ending it now would lose that
 */
async function takeOverResident(
  { hypervisor }: WorkerContext,
  { claimed, machine }: OperationRun,
): Promise<JsonObject> {
  const condition = await hypervisor.condition(machine.desktopId);
  if (condition === 'running') throw cancelled();
  // It has all of its memory, so it waits for no page: it hangs, and whether its guest has gone on is not known.
  if (condition === 'waking') throw timedOut('qmpCommand');
  const { checkpoint, operation } = claimed;
  return { checkpointId: checkpoint?.id ?? null, ...checkpoint?.facts, ...operation.progress };
}

/**
 * Back to the checkpoint it was woken from, when nothing has come to it since. Killed while the guest stands still, a successor thaws
 * it; killed later, it goes on with the release, and the layer is garbage.
 * @returns false when it has written, and is to be saved
 */
async function fallBack(context: WorkerContext, run: OperationRun): Promise<boolean> {
  const { ledger, hypervisor } = context;
  const { claimed, machine, logger } = run;
  if (!(await hypervisor.pauseUnlessWritten(machine.desktopId, machine.seen))) return false;
  try {
    if (!(await ledger.fallBack(claimed.fence))) throw await whyNot(ledger, claimed.fence);
  } catch (error) {
    if (isDormouseError(error, 'SUPERSEDED')) throw error;
    await hypervisor.thaw(machine.desktopId, machine.seen);
    throw error;
  }
  logger.info('nobody has used the desktop since it was woken: it goes back to its checkpoint');
  await release(context, run, claimed.checkpoint?.diskGeneration ?? null);
  if (machine.diskGeneration !== null) {
    // It holds nothing: QEMU has counted no write, and the layer itself is looked at again.
    await hypervisor.discardGeneration(machine, machine.diskGeneration).catch((error: unknown) => {
      logger.warn({ err: error }, 'the layer of the wake could not be removed; it is collected');
    });
  }
  return true;
}

/** From the running guest to a committed checkpoint with the guest frozen. Whatever fails leaves the guest running. */
async function capture(context: WorkerContext, { claimed, machine, logger, leave }: OperationRun): Promise<JsonObject> {
  const { ledger, hypervisor } = context;
  const { fence, operation } = claimed;
  const checkpointId = randomUUID();
  const fingerprint = await hypervisor.fingerprint(machine.launchSpec);
  const keys = await keysForSave(context.keys, machine.desktopId);
  const storagePrefix = objectKeys(machine.desktopId, checkpointId).prefix;
  if (!(await ledger.beginCheckpoint(fence, { id: checkpointId, storagePrefix }))) throw await whyNot(ledger, fence);

  const startedMs = performance.now();
  let progress: CaptureProgress | null = null;
  const watch = watchCancellation(ledger, fence, () => progress && inBytes(progress), logger);
  let taken: Capture | null = null;
  try {
    taken = await hypervisor.capture(
      machine,
      { operationId: operation.id, checkpointId, keys },
      {
        previousCheckpointId: claimed.checkpoint?.id ?? null,
        keptGenerations: await ledger.keptGenerations(machine.desktopId),
        signal: AbortSignal.any([watch.signal, leave]),
        onProgress: (news) => (progress = news),
      },
    );
    const captureMs = Math.round(performance.now() - startedMs);
    // The guest stands still: whatever is waited for, until it is too long.
    const { failed } = taken;
    const agreed = async (answer: Promise<boolean>): Promise<void> => {
      if (!(await unlessAborted(answer, failed))) throw await unlessAborted(whyNot(ledger, fence), failed);
    };
    await agreed(ledger.authorizeSwitchover(fence));
    await taken.switchOver(watch.signal);
    await agreed(ledger.advance(fence, 'commit'));
    const facts = { captureMs, ...(await taken.commit(watch.signal)) };
    const { ramBytes, storedBytes } = facts;
    const { diskGeneration } = machine;
    const about = { ...facts, fingerprint };
    const checkpoint = { id: checkpointId, storagePrefix, diskGeneration, ramBytes, storedBytes, facts: about };
    await agreed(ledger.commitCheckpoint(fence, checkpoint));
    const result = { checkpointId, frozenMs: Math.round(performance.now() - taken.frozenAtMs), ...facts };
    await taken.conclude();
    await ledger.progress(fence, result);
    return result;
  } catch (error) {
    const found = watch.signal.aborted ? await whyOr(error, whyNot(ledger, fence), taken?.failed) : error;
    const why = await unlessTaken(found, context, fence);
    if (isDormouseError(why, 'SUPERSEDED')) taken?.close();
    else await taken?.abandon();
    throw why;
  } finally {
    watch.stop();
  }
}

/** As the ledger sees it; what was thrown when it does not answer, or not before the guest has stood still for too long. */
async function whyOr(error: unknown, why: Promise<unknown>, failed: AbortSignal | undefined): Promise<unknown> {
  return (failed === undefined ? why : unlessAborted(why, failed)).catch(() => error);
}

function inBytes({ streamBytes, arrivedBytes, ramBytes }: CaptureProgress): JsonObject {
  return { streamBytes, doneBytes: arrivedBytes, totalBytes: ramBytes };
}

/**
 * Ends the machine and gives its memory back. Once it is gone nothing may make a failure of the save any more.
 * @param sealedGeneration the layer that the next wake goes on from
 */
async function release(
  { hypervisor }: WorkerContext,
  { machine, logger }: OperationRun,
  sealedGeneration: string | null,
): Promise<void> {
  await hypervisor.release(machine.desktopId, machine);
  try {
    await hypervisor.prepareWake(machine, sealedGeneration);
  } catch (error) {
    logger.warn({ err: error }, 'nothing could be made ready for the next wake, which takes a little longer');
  }
}
