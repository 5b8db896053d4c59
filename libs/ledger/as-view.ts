import type { CheckpointEntity, DesktopEntity, HostEntity, OperationEntity, PoolEntity } from '@dormouse/persistence';
import {
  assignmentIn,
  idleSinceOf,
  isInDoubt,
  isOver,
  machineStates,
  occupancy,
  openOf,
  partOf,
  visibleConnections,
  type KeepReason,
  type KeptCondition,
  type SourcePresence,
  type Storm,
} from '@dormouse/session';
import type {
  CheckpointView,
  DesktopView,
  HostTrouble,
  HostView,
  KeptCheckpointView,
  OperationView,
  PoolView,
  SourceView,
  StormView,
} from '@dormouse/views';

/** A host that has not been heard from for longer than this gets no desktops. */
export const hostSilenceMs = 30_000;

/** Not for what was seen in the future either: the clock has been set back since, and nobody has been heard from by this clock. */
export function isHeard(seenAt: Date, now: Date): boolean {
  return Math.abs(now.getTime() - seenAt.getTime()) < hostSilenceMs;
}

export function asDesktopView(row: DesktopEntity, operation: OperationEntity | null): DesktopView {
  const { sources } = row.presence;
  const speaker = row.broker === null && sources.length === 1 ? sources[0] : partOf(row.presence, row.broker ?? '');
  const assignment = assignmentIn(row.presence);
  return {
    id: row.id,
    poolId: row.poolId,
    hostId: row.hostId,
    launchSpec: row.launchSpec,
    fingerprint: row.fingerprint,
    state: row.machineState,
    stateSince: row.stateSince.toISOString(),
    generation: row.generation,
    presence: {
      occupancy: occupancy(row.presence),
      connections: visibleConnections(row.presence),
      brokerEpoch: speaker?.epoch ?? null,
      sequence: speaker?.numbers.last ?? null,
      sources: sources.map(asSourceView),
      unknownSince: iso(row.doubtSince),
      idleSince: isoOf(idleSinceOf(row.presence)),
    },
    broker: row.broker,
    assignment: assignment && { kind: assignment.kind, userRef: assignment.userRef },
    absence:
      row.absentSince === null || row.absenceCause === null
        ? null
        : { since: row.absentSince.toISOString(), cause: row.absenceCause },
    hold:
      row.heldUntil === null
        ? null
        : { until: row.heldUntil.toISOString(), by: row.heldBy ?? '', reason: row.holdReason ?? '' },
    graceDeadline: iso(row.graceDeadline),
    operation: operation === null ? null : asOperationView(operation),
    checkpointId: row.checkpointId,
    diskGeneration: row.diskGeneration,
    restoreFailures: row.restoreFailures,
    condition: conditionOf(row),
    lastError: row.lastError,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

function asSourceView(part: SourcePresence): SourceView {
  const { source, connections, epoch, numbers } = part;
  return {
    source,
    connections: openOf(connections),
    certain: !isInDoubt(part),
    brokerEpoch: epoch,
    sequence: numbers.last,
  };
}

/** A machine that is gone has no guest, whatever was said of it last. */
export function conditionOf({ machineState, guestCondition }: DesktopEntity): KeptCondition | null {
  return machineStates[machineState].machine === 'live' ? guestCondition : null;
}

export function asOperationView(row: OperationEntity): OperationView {
  return {
    id: row.id,
    desktopId: row.desktopId,
    kind: row.kind,
    phase: row.phase,
    status: row.status,
    generation: row.generation,
    reason: row.reason,
    requestedBy: row.requestedBy,
    forced: row.forced,
    again: row.again,
    hostId: row.hostId,
    workerId: row.workerId,
    attempt: row.attempt,
    validUntil: iso(row.validUntil),
    cancelRequestedAt: iso(row.cancelRequestedAt),
    progress: row.progress,
    result: row.result,
    error: row.error,
    createdAt: row.createdAt.toISOString(),
    startedAt: iso(row.startedAt),
    phaseSince: row.phaseSince.toISOString(),
    endedAt: iso(row.endedAt),
  };
}

export function asCheckpointView(row: CheckpointEntity): CheckpointView {
  return {
    id: row.id,
    desktopId: row.desktopId,
    state: row.state,
    storagePrefix: row.storagePrefix,
    diskGeneration: row.diskGeneration,
    ramBytes: row.ramBytes,
    storedBytes: row.storedBytes,
    facts: row.facts,
    createdAt: row.createdAt.toISOString(),
    durableAt: iso(row.durableAt),
    parentId: row.parentId,
    restoredAt: iso(row.restoredAt),
    condemnedAt: iso(row.condemnedAt),
    pin:
      row.pinnedAt === null
        ? null
        : { at: row.pinnedAt.toISOString(), by: row.pinnedBy ?? '', reason: row.pinReason ?? '' },
  };
}

export function asKeptCheckpointView(
  row: CheckpointEntity,
  desktop: DesktopEntity,
  keptBecause: readonly KeepReason[],
): KeptCheckpointView {
  return { ...asCheckpointView(row), current: row.id === desktop.checkpointId, keptBecause };
}

export function asPoolView(row: PoolEntity, now: Date): PoolView {
  return {
    id: row.id,
    policy: row.policy,
    storms: row.storms.filter((storm) => !isOver(storm, now.getTime())).map(asStormView),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

function asStormView({ broker, cause, left, inUse, fromMs, untilMs, spreadMs }: Storm): StormView {
  return {
    broker,
    cause,
    left,
    inUse,
    from: new Date(fromMs).toISOString(),
    until: new Date(untilMs).toISOString(),
    releasedUntil: new Date(untilMs + spreadMs).toISOString(),
  };
}

export function asHostView(row: HostEntity, machines: Pick<HostView, 'machines' | 'usedMiB'>, now: Date): HostView {
  return {
    id: row.id,
    capabilities: row.capabilities,
    troubles: row.troubles as unknown as readonly HostTrouble[],
    startedAt: row.startedAt.toISOString(),
    seenAt: row.seenAt.toISOString(),
    alive: isHeard(row.seenAt, now),
    intent: row.intent,
    intentReason: row.intentReason,
    ...machines,
  };
}

function isoOf(epochMs: number | null): string | null {
  return epochMs === null ? null : new Date(epochMs).toISOString();
}

function iso(at: Date | null): string | null {
  return at?.toISOString() ?? null;
}
