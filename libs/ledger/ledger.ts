import type { JsonObject, MachineState, Observed, OperationPhase } from '@dormouse/session';
import type { DataSource } from 'typeorm';
import type {
  ApiKeyView,
  AuditView,
  BrokerView,
  CheckpointView,
  DesktopView,
  ExpectedOperationView,
  ExplanationView,
  HostIntent,
  HostLoad,
  HostView,
  KeptCheckpointView,
  OperationView,
  Page,
  PoolView,
  RehearsedView,
  RetiredBrokerView,
} from '@dormouse/views';
import { createApiKey, listApiKeys, poolOf, revokeApiKey, useApiKey } from './api-keys';
import { exportAudit, listAudit, pruneAudit, recordAudit, type AuditQuery } from './audit';
import { pruneHistory } from './prune-history';
import {
  beginCheckpoint,
  commitCheckpoint,
  condemnedCheckpoints,
  keptGenerations,
  markCheckpointDeleted,
} from './checkpoints';
import type {
  ApiKeyCommand,
  AuditEntry,
  BrokerCommand,
  CancelCommand,
  CheckpointFacts,
  ClaimedOperation,
  ConsentCommand,
  Delivery,
  Fence,
  FinishOutcome,
  HoldCommand,
  HostAnnouncement,
  HostCommand,
  PinCommand,
  PrewarmCommand,
  Receipt,
  Registered,
  Registration,
  RequestCommand,
  RevokeCommand,
} from './commands';
import { listBrokers, watchBrokers, type BrokerWatched } from './brokers';
import { cancelOperation } from './cancel-operation';
import { claim, renew } from './claims';
import { deleteDesktop } from './delete-desktop';
import { diskGenerationsOf, forgetDiskGenerations } from './disk-generations';
import { endExpired } from './expired';
import { explainDesktop } from './explain-desktop';
import { deletedDesktops, desktopHoldings, desktopsWithCondemned, type DesktopHoldings } from './garbage';
import { drainHosts, type Drained } from './drain-host';
import { holdDesktop } from './holds';
import { nameBroker } from './name-broker';
import type { ClaimedHost } from './host-claims';
import { changeHost, hostCleared } from './host-intents';
import { announceHost, desktopsWithMachine, listHosts } from './hosts';
import {
  beginRepeatable,
  endRepeatable,
  type EarlierRequest,
  type RepeatableAnswer,
  type RepeatableRequest,
} from './idempotency';
import { knownStorages, type KnownStorages } from './known-storages';
import { listCheckpoints } from './kept-checkpoints';
import { registeredId } from './loaded-desktop';
import { consent } from './ladder';
import { moveOn } from './move-on';
import { pinCheckpoint, unpinCheckpoint } from './pins';
import { placeWaiting } from './placing';
import { admitWaiting } from './pool-caps';
import { applyPoolChanges } from './pool-changes';
import { putPool, viewPool } from './pools';
import { watchStorms, type StormBegun } from './storms';
import { prewarm } from './prewarm';
import { sweepRetention } from './retention';
import { listDesktops, listOperations, viewCheckpoint, viewDesktop, viewOperation } from './reading';
import { forgetOldMessages, requeueForgotten } from './upkeep';
import { EventIntake } from './event-intake';
import { OneAtATime } from './one-at-a-time';
import { rehearse } from './rehearse';
import { registerDesktop } from './register-desktop';
import { graceElapsed, request } from './requests';
import { retireBroker, type RetireCommand } from './retire-broker';
import { loadOf } from './slots';
import type { OperationStep } from './ledger-transaction';
import { Transactions } from './transactions';
import {
  advance,
  authorizeSwitchover,
  beginRelease,
  fallBack,
  finish,
  goesOn,
  guestRan,
  linger,
  progress,
  reportCondition,
  reportMachine,
  type ReportedCondition,
} from './worker-reports';

export interface LedgerOptions {
  /** The host that this process speaks for. Left out: none, and nobody asks. */
  readonly host?: ClaimedHost;
  /** Left out: the database's clock. */
  readonly now?: () => Date;
  /** Called after each commit that wrote outbox rows: the dispatcher's nudge. */
  readonly onOutbox?: () => void;
  /** Called after each commit with which a phase of an operation, or all of it, was over. */
  readonly onStep?: (step: OperationStep) => void;
}

/**
 * The record of every desktop and the only place that changes it. Each method is one transaction that holds the
 * desktop's row: load what is known, let `decide` answer, write the answer and the work that follows from it.
 *
 * The methods that take a `Fence` answer false, and change nothing but a noted cancellation, when the operation is
 * no longer in force or is to be given up; the worker then stops, undoes, and reports `cancelled`.
 */
export class SessionLedger {
  private readonly transactions: Transactions;
  private readonly host: ClaimedHost | null;
  private readonly intake: EventIntake;
  /** Jobs come many at once: all their claims together would keep the connections from those that are under way. */
  private readonly claims = new OneAtATime();

  constructor(
    private readonly dataSource: DataSource,
    { host, now, onOutbox = () => {}, onStep = () => {} }: LedgerOptions = {},
  ) {
    this.transactions = new Transactions(dataSource, now ?? null, { onOutbox, onStep });
    this.host = host ?? null;
    this.intake = new EventIntake(this.transactions);
  }

  /** Shares its transaction with those that come at the same time. @throws DESKTOP_UNKNOWN for one that asks for something, and then nothing is stored. */
  receiveEvent(delivery: Delivery): Promise<Receipt> {
    return this.intake.receive(delivery);
  }

  /** @throws POOL_UNKNOWN, HOST_UNAVAILABLE; DESKTOP_BUSY when another spec is given while the desktop is not off. */
  registerDesktop(registration: Registration): Promise<Registered> {
    return registerDesktop(this.transactions, registration);
  }

  /** @throws DESKTOP_UNKNOWN, DESKTOP_BUSY, USER_PRESENT, PRESENCE_UNKNOWN, CHECKPOINT_UNKNOWN. */
  request(desktopId: string, command: RequestCommand): Promise<{ operation: OperationView; joined: boolean }> {
    return request(this.transactions, desktopId, command);
  }

  /**
   * Takes a step with a desktop that is `restore-blocked`, and what the step loses may be lost.
   * @throws DESKTOP_UNKNOWN, DESKTOP_BUSY when it is not blocked, CHECKPOINT_UNKNOWN when there is no such step (any more)
   */
  consent(desktopId: string, command: ConsentCommand): Promise<OperationView> {
    return consent(this.transactions, desktopId, command);
  }

  /** The timer of this generation has fired. Stale ones, and ones of desktops that are gone, do nothing. */
  graceElapsed(desktopId: string, generation: number): Promise<void> {
    return graceElapsed(this.transactions, desktopId, generation);
  }

  /**
   * Null: stale, ended, another host's, or held by a live lease of another worker.
   * @param hostId the worker's; null: whichever
   * @throws HOST_BUSY when there is no free slot for it now
   */
  claim(
    operationId: string,
    generation: number,
    workerId: string,
    leaseMs: number,
    hostId: string | null = null,
  ): Promise<ClaimedOperation | null> {
    return this.claims.run(() =>
      claim(this.transactions, { operationId, generation, workerId, leaseMs, hostId }, this.host),
    );
  }

  /** Prolongs the leases this worker still holds. Answers the ids it holds no longer: stop working on them. */
  renew(operationIds: readonly string[], workerId: string, leaseMs: number): Promise<readonly string[]> {
    return renew(this.transactions, { operationIds, workerId, leaseMs });
  }

  /** Whether the operation is to go on: in force, and not to be given up. Cheap: it only looks. */
  goesOn(fence: Fence): Promise<boolean> {
    return goesOn(this.dataSource.manager, fence);
  }

  /** Merges `facts` into the operation's progress. @returns whether to go on */
  progress(fence: Fence, facts: JsonObject): Promise<boolean> {
    return progress(this.dataSource.manager, fence, facts);
  }

  /** Enters a phase that needs no decision: `commit`, `wake`, or `capture` once more after an abort. */
  advance(fence: Fence, phase: OperationPhase): Promise<boolean> {
    return advance(this.transactions, fence, phase);
  }

  /**
   * The machine stands still and has written nothing. Reads presence again; true: end QEMU and drop the layer it wrote to, the
   * desktop is in the checkpoint it was woken from. The state is `resident`, the phase `release`. False: thaw the guest.
   */
  fallBack(fence: Fence): Promise<boolean> {
    return fallBack(this.transactions, fence);
  }

  /** Reads presence again; true: freeze the guest. The phase is `switchover`, the state `committing`. */
  authorizeSwitchover(fence: Fence): Promise<boolean> {
    return authorizeSwitchover(this.transactions, fence);
  }

  /** Before the first object is written, so that what a dead worker leaves behind can be found. */
  beginCheckpoint(fence: Fence, checkpoint: { id: string; storagePrefix: string }): Promise<boolean> {
    return beginCheckpoint(this.transactions, fence, checkpoint);
  }

  /** The manifest is verified durable. Reads presence again; true: the state is `resident`. False: thaw the guest. */
  commitCheckpoint(fence: Fence, facts: CheckpointFacts): Promise<boolean> {
    return commitCheckpoint(this.transactions, fence, facts);
  }

  /** The desktop is resident. A time: leave it, a worker is called then. Null: go on with `beginRelease`. */
  linger(fence: Fence): Promise<Date | null> {
    return linger(this.transactions, fence);
  }

  /** Reads presence a last time; true: end QEMU, there is no way back but a restore. The phase is `release`. */
  beginRelease(fence: Fence): Promise<boolean> {
    return beginRelease(this.transactions, fence);
  }

  /**
   * Restore: it does not succeed on this host. To another one, if there is one that has not tried: then the operation is no longer
   * this worker's. @param failures what was tried
   */
  moveOn(fence: Fence, failures: readonly string[]): Promise<string | null> {
    return moveOn(this.transactions, fence, failures);
  }

  /** Restore: the guest runs and answers. The phase is `hydrate`, the state `hydrating`. */
  guestRan(fence: Fence, result: JsonObject, found?: FinishOutcome['desktop']): Promise<boolean> {
    return guestRan(this.transactions, fence, result, found);
  }

  /** Ends the operation. One that is no longer in force is left as it is. @throws INTERNAL for a false success. */
  finish(fence: Fence, outcome: FinishOutcome): Promise<void> {
    return finish(this.transactions, fence, outcome);
  }

  /** What the host really holds of a desktop without an open operation. */
  reportCondition(where: { desktopId: string; hostId: string }, condition: ReportedCondition | null): Promise<void> {
    return this.transactions.run((transaction) => reportCondition(transaction, where, condition));
  }

  reportMachine(desktopId: string, observed: Observed): Promise<DesktopView> {
    return reportMachine(this.transactions, desktopId, observed, this.host);
  }

  /** Only off, saved or restore-blocked. @throws DESKTOP_UNKNOWN, DESKTOP_BUSY. */
  deleteDesktop(desktopId: string, actor: string, reason?: string): Promise<void> {
    return deleteDesktop(this.transactions, { desktopId, actor, reason });
  }

  /** A durable checkpoint stays, whatever the pool's policy says. @throws DESKTOP_UNKNOWN, CHECKPOINT_UNKNOWN */
  pinCheckpoint(command: PinCommand): Promise<KeptCheckpointView> {
    return pinCheckpoint(this.transactions, command);
  }

  /** Then the pool's policy decides, at once. @throws DESKTOP_UNKNOWN, CHECKPOINT_UNKNOWN */
  unpinCheckpoint(command: PinCommand): Promise<KeptCheckpointView> {
    return unpinCheckpoint(this.transactions, command);
  }

  /** Condemns what only its age has kept so far. @returns how many checkpoints */
  sweepRetention(): Promise<number> {
    return sweepRetention(this.transactions);
  }

  /** Newest first, from after `cursor`, those whose objects are gone left out. @throws DESKTOP_UNKNOWN */
  listCheckpoints(
    desktopId: string,
    page: { cursor?: string | null; limit: number },
  ): Promise<Page<KeptCheckpointView>> {
    return listCheckpoints(this.transactions, desktopId, page);
  }

  /** Checkpoints of a desktop whose objects may go: superseded, given up, or of a deleted desktop. */
  condemnedCheckpoints(desktopId: string): Promise<readonly CheckpointView[]> {
    return condemnedCheckpoints(this.dataSource.manager, desktopId);
  }

  /** What decides which objects and layers of a desktop stay, also of one that is gone. @param asked ids of checkpoints that were found */
  desktopHoldings(desktopId: string, asked: readonly string[] = []): Promise<DesktopHoldings> {
    return desktopHoldings(this.dataSource, desktopId, asked);
  }

  /** Desktops, registered or not, with checkpoints condemned before `at` whose objects may still be there. */
  desktopsWithCondemned(at: Date): Promise<string[]> {
    return desktopsWithCondemned(this.dataSource.manager, at);
  }

  /** Of these those that lived on this host and were deleted before `at`: not those that were never heard of. */
  deletedDesktops(hostId: string, desktopIds: readonly string[], at: Date): Promise<string[]> {
    return deletedDesktops(this.dataSource.manager, hostId, desktopIds, at);
  }

  /** Generations of a desktop's disks that have a row. */
  diskGenerations(desktopId: string): Promise<string[]> {
    return diskGenerationsOf(this.dataSource.manager, desktopId);
  }

  /** Their layers are gone. */
  forgetDiskGenerations(desktopId: string, generations: readonly string[]): Promise<void> {
    return forgetDiskGenerations(this.transactions, desktopId, generations);
  }

  /** Disk generations that stay for as long as the checkpoints that were sealed with them. */
  keptGenerations(desktopId: string): Promise<string[]> {
    return keptGenerations(this.dataSource.manager, desktopId);
  }

  /** Its objects are gone from the storage. Does nothing to a checkpoint that is not condemned. */
  markCheckpointDeleted(checkpointId: string): Promise<void> {
    return markCheckpointDeleted(this.dataSource.manager, checkpointId);
  }

  /** @throws DESKTOP_UNKNOWN. */
  viewDesktop(desktopId: string): Promise<DesktopView> {
    return viewDesktop(this.dataSource.manager, desktopId);
  }

  /** Why it is in its state, what comes next, and what did not come. @throws DESKTOP_UNKNOWN */
  explainDesktop(desktopId: string): Promise<ExplanationView> {
    return explainDesktop(this.transactions, desktopId);
  }

  /** By the clock that everything in the ledger is written by. */
  now(): Promise<Date> {
    return this.transactions.run(({ now }) => Promise.resolve(now));
  }

  /** In the order of their ids, from after `cursor`; those of these pools only, if there are some. */
  listDesktops(page: {
    cursor?: string | null;
    limit: number;
    pools?: readonly string[] | null;
  }): Promise<Page<DesktopView>> {
    return listDesktops(this.dataSource.manager, page);
  }

  /** With what is to be expected of it. @throws OPERATION_UNKNOWN. */
  viewOperation(operationId: string): Promise<ExpectedOperationView> {
    return viewOperation(this.transactions, operationId);
  }

  /**
   * Newest first. Also of a desktop that is gone, or that had this id before.
   * @param pools those only that happened in these; null: all
   */
  listOperations(
    desktopId: string,
    limit = 50,
    pools: readonly string[] | null = null,
  ): Promise<readonly OperationView[]> {
    return listOperations(this.dataSource.manager, desktopId, { pools, limit });
  }

  /** @throws CHECKPOINT_UNKNOWN. */
  viewCheckpoint(checkpointId: string): Promise<CheckpointView> {
    return viewCheckpoint(this.dataSource.manager, checkpointId);
  }

  /** @throws POOL_UNKNOWN. */
  viewPool(poolId: string): Promise<PoolView> {
    return viewPool(this.transactions, poolId);
  }

  /** Makes or changes a pool; deadlines are moved at once to where the new policy wants them. @throws REQUEST_INVALID. */
  putPool(poolId: string, policy: unknown, actor: string, reason?: string): Promise<PoolView> {
    return putPool(this.transactions, { poolId, policy, actor, reason });
  }

  /** Moves deadlines that were set under an older policy, if a `putPool` did not get to them all. @returns whose */
  applyPoolChanges(): Promise<readonly string[]> {
    return applyPoolChanges(this.transactions);
  }

  /** To be asked every second: have so many left at once that something must have broken? @returns storms that begin now */
  watchStorms(): Promise<readonly StormBegun[]> {
    return watchStorms(this.transactions);
  }

  /** To be asked every few seconds: who is there is not known of the desktops of a broker that has fallen silent. */
  watchBrokers(): Promise<BrokerWatched> {
    return watchBrokers(this.transactions);
  }

  /** Those that send heartbeats, by their ids. */
  listBrokers(): Promise<readonly BrokerView[]> {
    return listBrokers(this.transactions);
  }

  /** It is gone for good: nothing that it has said counts any more. @throws BROKER_UNKNOWN */
  retireBroker(command: RetireCommand): Promise<RetiredBrokerView> {
    return retireBroker(this.transactions, command);
  }

  /** Keeps a desktop from being put to sleep until then, or no longer. @throws DESKTOP_UNKNOWN, REQUEST_INVALID */
  holdDesktop(desktopId: string, command: HoldCommand): Promise<DesktopView> {
    return holdDesktop(this.transactions, desktopId, command);
  }

  /** Says whose a desktop is. @throws DESKTOP_UNKNOWN */
  nameBroker(desktopId: string, command: BrokerCommand): Promise<DesktopView> {
    return nameBroker(this.transactions, desktopId, command);
  }

  /** Brings a desktop up before its user comes. @throws DESKTOP_UNKNOWN, DESKTOP_BUSY, CHECKPOINT_UNKNOWN, REQUEST_INVALID */
  prewarm(desktopId: string, command: PrewarmCommand): Promise<DesktopView> {
    return prewarm(this.transactions, desktopId, command);
  }

  /** @throws OPERATION_UNKNOWN, OPERATION_ENDED, DESKTOP_BUSY when it is too late, USER_PRESENT when somebody waits for it */
  cancelOperation(operationId: string, command: CancelCommand): Promise<OperationView> {
    return cancelOperation(this.transactions, operationId, command);
  }

  /** What is known of a request with an `Idempotency-Key`; `none`: it is to be done, and ended with `endRepeatable`. */
  beginRepeatable(request: RepeatableRequest): Promise<EarlierRequest> {
    return beginRepeatable(this.transactions, request);
  }

  /** Keeps the answer of a request for a day; null when the next one is to be done as if it were the first. */
  endRepeatable(request: RepeatableRequest, answer: RepeatableAnswer | null): Promise<void> {
    return endRepeatable(this.transactions, request, answer);
  }

  /** What webhooks would lead to if they came now, one after the other. Nothing is changed. */
  rehearse(deliveries: readonly Delivery[]): Promise<readonly RehearsedView[]> {
    return rehearse(this.transactions, deliveries);
  }

  /**
   * A worker says that it serves this host; to be said again every few seconds. @returns what operators want of it
   * @throws HOST_ID_TAKEN when another machine is the host of this name
   */
  announceHost(host: HostAnnouncement): Promise<HostIntent> {
    return announceHost(this.transactions, host, this.host?.proof ?? null);
  }

  listHosts(): Promise<readonly HostView[]> {
    return listHosts(this.transactions);
  }

  /** What is known of the storage, besides what this host is told of it. */
  knownStorages(hostId: string): Promise<KnownStorages> {
    return knownStorages(this.transactions, hostId);
  }

  /** What is open on a host, and how many of its slots that takes. */
  loadOf(hostId: string): Promise<HostLoad> {
    return loadOf(this.transactions, hostId);
  }

  /** Of this host, those without an open operation that have a machine, or may have. */
  desktopsWithMachine(hostId: string): Promise<readonly { id: string; state: MachineState }[]> {
    return desktopsWithMachine(this.dataSource.manager, hostId);
  }

  /** @throws HOST_UNKNOWN, HOST_FENCED; HOST_ALIVE when one is to be fenced that is heard from */
  changeHost(command: HostCommand): Promise<HostView> {
    return changeHost(this.transactions, command);
  }

  /** A host that was fenced has come back and has ended all that it still ran. */
  hostCleared(hostId: string): Promise<void> {
    return hostCleared(this.transactions, hostId, this.host?.proof ?? null);
  }

  /** Moves desktops away from hosts that are drained, and gives up those of hosts that are fenced. */
  drainHosts(): Promise<Drained> {
    return drainHosts(this.transactions);
  }

  /** Finds hosts for the operations that wait for one. @returns the desktops for which one was found */
  placeWaiting(): Promise<readonly string[]> {
    return placeWaiting(this.transactions);
  }

  /** Ends forced operations that could not begin in the time they were asked for. @returns the desktops of these */
  endExpired(): Promise<readonly string[]> {
    return endExpired(this.transactions);
  }

  /** Calls what has waited for its pool, where there is room by now. @returns the desktops of these */
  admitWaiting(): Promise<readonly string[]> {
    return admitWaiting(this.transactions);
  }

  /**
   * Puts work back on its way that nobody has: operations that wait longer than `waitingMs` or whose lease has run
   * out, and deadlines overdue by `overdueMs`. What is still in a queue is not doubled there. @returns whose.
   */
  requeueForgotten(patience: { waitingMs: number; overdueMs: number }): Promise<readonly string[]> {
    return requeueForgotten(this.transactions, patience);
  }

  /** Removes outbox rows dispatched more than an hour ago, answers older than a day, and webhook ids older than eight. */
  forgetOldMessages(): Promise<void> {
    return forgetOldMessages(this.transactions);
  }

  /** One line in the append-only audit log, for what happens outside the other methods (a refused signature). */
  recordAudit(entry: AuditEntry): Promise<void> {
    return this.transactions.run((transaction) => recordAudit(transaction, entry));
  }

  /** All lines before a moment, oldest first. */
  exportAudit(before: Date): AsyncGenerator<AuditView> {
    return exportAudit(this.dataSource, before);
  }

  /** @returns how many lines were removed @throws REQUEST_INVALID */
  pruneAudit(command: { before: Date; reason: string; actor: string }): Promise<number> {
    return this.transactions.run((transaction) => pruneAudit(transaction, command));
  }

  /** Removes what nobody needs any more of what has ended long ago, a part at a time. @returns how many rows */
  pruneHistory(): Promise<number> {
    return pruneHistory(this.transactions);
  }

  /** Newest first, from after `cursor`. */
  listAudit(query: AuditQuery): Promise<Page<AuditView>> {
    return listAudit(this.dataSource.manager, query);
  }

  /** The key is in the answer and nowhere else. @throws REQUEST_INVALID, POOL_UNKNOWN, API_KEY_EXISTS */
  createApiKey(command: ApiKeyCommand): Promise<{ view: ApiKeyView; key: string }> {
    return createApiKey(this.transactions, command);
  }

  /** From this moment on nobody is let in with it. @throws API_KEY_UNKNOWN */
  revokeApiKey(command: RevokeCommand): Promise<ApiKeyView> {
    return revokeApiKey(this.transactions, command);
  }

  /** By name, those that are expired or revoked too. */
  listApiKeys(): Promise<readonly ApiKeyView[]> {
    return listApiKeys(this.transactions);
  }

  /** Whose key this is, also when it is valid no more; null when it is nobody's. */
  useApiKey(key: string): Promise<ApiKeyView | null> {
    return useApiKey(this.transactions, key);
  }

  /** The id of a desktop as it was registered: capitals do not count. Null: there is none such. */
  registeredId(desktopId: string): Promise<string | null> {
    return registeredId(this.dataSource.manager, desktopId);
  }

  /** The pool that a desktop is in, or that an operation happened in; null when there is none such (any more). */
  poolOf(subject: { kind: 'desktop' | 'operation'; id: string }): Promise<string | null> {
    return poolOf(this.dataSource.manager, subject);
  }
}
