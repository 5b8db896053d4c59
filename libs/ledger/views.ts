import type {
  AbsenceCause,
  Again,
  Assignment,
  BrokerEventType,
  Consent,
  Decision,
  Doubt,
  EndedStatus,
  Eta,
  Spread,
  Hindrance,
  JsonObject,
  KeepReason,
  KeptCondition,
  MachineState,
  Next,
  Occupancy,
  OpenStatus,
  OperationKind,
  OperationPhase,
  PoolPolicy,
  RecordedError,
  SlotKind,
  Storm,
} from '@dormouse/session';

/** What the ledger answers with: plain values that survive JSON. Times are ISO 8601 in UTC. */
export interface DesktopView {
  readonly id: string;
  readonly poolId: string;
  readonly hostId: string | null;
  readonly launchSpec: JsonObject;
  /** What the examined machine is made of; null until it was examined. */
  readonly fingerprint: JsonObject | null;
  readonly state: MachineState;
  readonly stateSince: string;
  readonly generation: number;
  readonly presence: {
    readonly occupancy: Occupancy;
    readonly connections: readonly string[];
    /** Of the broker that the desktop belongs to, or of the only one that has spoken of it. */
    readonly brokerEpoch: string | null;
    readonly sequence: number | null;
    /** What each broker says; the presence is the union. */
    readonly sources: readonly SourceView[];
    /** Since when it is not certain who is there; null when it is. */
    readonly unknownSince: string | null;
    /** Since when its user, though connected, has not touched it. */
    readonly idleSince: string | null;
  };
  /** Whose it is: the broker that was the first to speak of it, or that was named. Null: of the one that speaks of it next. */
  readonly broker: string | null;
  /** What its broker said last of whose it is; null when it has said nothing. */
  readonly assignment: Pick<Assignment, 'kind' | 'userRef'> | null;
  /** Since when and why nobody is there. Null while somebody is or may be, and before the first user has come. */
  readonly absence: { readonly since: string; readonly cause: AbsenceCause } | null;
  /** It is not put to sleep before. */
  readonly hold: { readonly until: string; readonly by: string; readonly reason: string } | null;
  /** When it is put away if nobody comes, or when a failed save is tried again. */
  readonly graceDeadline: string | null;
  /** The open operation, if there is one. */
  readonly operation: OperationView | null;
  readonly checkpointId: string | null;
  readonly diskGeneration: string | null;
  readonly restoreFailures: number;
  /** What QEMU says of its guest; null while that simply runs. */
  readonly condition: KeptCondition | null;
  readonly lastError: RecordedError | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface SourceView {
  readonly source: string;
  readonly connections: readonly string[];
  /** False: it is not certain that these are all. */
  readonly certain: boolean;
  readonly brokerEpoch: string | null;
  readonly sequence: number | null;
}

/** Why a desktop is as it is, what comes next, and what did not come. */
export interface ExplanationView {
  readonly desktopId: string;
  /** For people. */
  readonly sentence: string;
  readonly state: MachineState;
  readonly stateSince: string;
  readonly presence: {
    readonly occupancy: Occupancy;
    readonly connections: readonly string[];
    /** Since when nobody is there, or since when that is not certain. */
    readonly since: string | null;
    /** Why nobody is there. */
    readonly cause: AbsenceCause | null;
    /** Why it is not certain who is there: the first of `doubts`. */
    readonly doubt: Doubt | null;
    /** One for each source that is in doubt. */
    readonly doubts: readonly Doubt[];
  };
  readonly next: { readonly what: Next['what']; readonly when: Next['when']; readonly at: string | null };
  readonly hindrances: readonly Hindrance[];
  /** What can be done with a desktop that cannot be woken, from the step that loses least. */
  readonly consents: readonly ConsentView[];
}

export interface ConsentView {
  readonly to: Consent;
  /** What is woken; null when it boots from its disk alone. */
  readonly checkpointId: string | null;
  /** Memory and disk, or the disk alone, are as they were then. */
  readonly asOf: string | null;
  /** For people: what it does, and what is lost. */
  readonly sentence: string;
}

/** What a webhook would lead to. */
export interface RehearsedView {
  readonly webhookId: string;
  readonly type: BrokerEventType;
  /** Null: it speaks of the broker itself. */
  readonly desktopId: string | null;
  readonly outcome: Decision['outcome'] | 'duplicate';
  readonly explanation: string;
  /** What the desktop would be then. */
  readonly state: MachineState | null;
  readonly graceDeadline: string | null;
  readonly operations: readonly { readonly kind: OperationKind; readonly becomes: 'pending' | EndedStatus }[];
}

export interface OperationView {
  readonly id: string;
  readonly desktopId: string;
  readonly kind: OperationKind;
  readonly phase: OperationPhase;
  readonly status: OpenStatus | EndedStatus;
  readonly generation: number;
  readonly reason: string;
  readonly requestedBy: string;
  /** An admin wants it although somebody may be there. */
  readonly forced: boolean;
  /** Who wants one more, in case this one does not put the desktop to sleep. */
  readonly again: Again | null;
  readonly hostId: string | null;
  readonly workerId: string | null;
  /** How often a worker has taken it. */
  readonly attempt: number;
  /** A forced one that has not begun by then is called off; null when it may wait for ever. */
  readonly validUntil: string | null;
  readonly cancelRequestedAt: string | null;
  /** `doneBytes` of `totalBytes` of memory, where some is moved; `waitingFor`: why it cannot begin. */
  readonly progress: JsonObject;
  readonly result: JsonObject | null;
  readonly error: RecordedError | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly phaseSince: string;
  readonly endedAt: string | null;
}

/** What is to be expected of an open operation. */
export interface EtaView extends Eta {
  /** What the quickest and the slowest of them took until it was done; null when nothing is known. */
  readonly spread: Spread | null;
  /** From how many earlier operations of its kind that is known; 0: only from its own pace. */
  readonly learnedFrom: number;
  /** Whose they were. */
  readonly of: 'desktop' | 'pool' | null;
}

/** An operation and what is to be expected of it; null when it has ended. */
export interface ExpectedOperationView extends OperationView {
  readonly eta: EtaView | null;
}

/** writing → durable → condemned (no longer wanted, its objects may still be there) → deleted. */
export type CheckpointState = 'writing' | 'durable' | 'condemned' | 'deleted';

export interface CheckpointView {
  readonly id: string;
  readonly desktopId: string;
  readonly state: CheckpointState;
  readonly storagePrefix: string;
  readonly diskGeneration: string | null;
  readonly ramBytes: number;
  readonly storedBytes: number;
  readonly facts: JsonObject;
  readonly createdAt: string;
  readonly durableAt: string | null;
  /** The desktop's checkpoint before it. */
  readonly parentId: string | null;
  /** When a desktop was last woken from it to the last page. */
  readonly restoredAt: string | null;
  readonly condemnedAt: string | null;
  readonly pin: { readonly at: string; readonly by: string; readonly reason: string } | null;
}

/** A checkpoint as one of a desktop's. */
export interface KeptCheckpointView extends CheckpointView {
  /** The desktop sleeps in it, or has gone on from it. */
  readonly current: boolean;
  /** Why it stays; empty for one that is being written or is condemned. */
  readonly keptBecause: readonly KeepReason[];
}

export interface PoolView {
  readonly id: string;
  readonly policy: PoolPolicy;
  /** Those that still keep desktops from being put to sleep. */
  readonly storms: readonly StormView[];
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface StormView {
  /** Null: all of the pool. */
  readonly broker: string | null;
  readonly cause: Storm['cause'];
  /** When it was noticed, how many had left by then, and of how many. */
  readonly left: number;
  readonly inUse: number;
  /** Whoever left between these two is concerned. */
  readonly from: string;
  readonly until: string;
  /** By then they have been let go, one after the other from `until` on. */
  readonly releasedUntil: string;
}

/** What operators want of a host: only an open one is given machines. */
export type HostIntent = 'open' | 'cordoned' | 'draining' | 'fenced';

/** A broker that is gone for good. */
export interface RetiredBrokerView {
  readonly id: string;
  /** Of how many desktops it had said something. */
  readonly desktops: number;
}

/** A broker that sends heartbeats. */
export interface BrokerView {
  readonly id: string;
  readonly intervalSeconds: number;
  readonly heardAt: string;
  /** Null: it is heard. */
  readonly silentSince: string | null;
}

export interface HostView {
  readonly id: string;
  readonly capabilities: JsonObject;
  readonly startedAt: string;
  readonly seenAt: string;
  /** Heard from lately enough to be given work. */
  readonly alive: boolean;
  readonly intent: HostIntent;
  readonly intentReason: string | null;
  /** Desktops that have a machine there, or may have, and their memory. */
  readonly machines: number;
  readonly usedMiB: number;
}

/** What is open on a host, and how many of its slots that takes. */
export interface HostLoad {
  readonly operations: readonly {
    readonly kind: OperationKind;
    readonly phase: OperationPhase;
    readonly status: OpenStatus | EndedStatus;
    readonly count: number;
  }[];
  /** `most`: null when the host has not said. */
  readonly slots: readonly { readonly slot: SlotKind; readonly used: number; readonly most: number | null }[];
}

/** What a key of the api allows, each including the ones before it. */
export const apiScopes = ['viewer', 'operator', 'admin'] as const;
export type ApiScope = (typeof apiScopes)[number];

/** A key of the api as people may see it: nothing of the key itself. */
export interface ApiKeyView {
  readonly name: string;
  readonly scope: ApiScope;
  /** What it is limited to; null for all pools and what belongs to none. */
  readonly pools: readonly string[] | null;
  readonly state: 'valid' | 'expired' | 'revoked';
  readonly createdAt: string;
  readonly createdBy: string;
  readonly expiresAt: string;
  /** To the minute. */
  readonly lastUsedAt: string | null;
  readonly revokedAt: string | null;
  readonly revokedBy: string | null;
}

export interface AuditView {
  /** Grows with time; texts, since they may grow beyond what a number holds. */
  readonly id: string;
  readonly at: string;
  /** `key:<name>`, `broker:<source>`, `anonymous`. */
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly reason: string | null;
  /** What came of it: applied, joined, ignored, accepted, or the code of the refusal. */
  readonly outcome: string;
  readonly details: JsonObject;
}

/** A data key as people may see it: nothing of the key itself. */
export interface KeyView {
  /** What it is for: `content`, or `desktop/<id>`. */
  readonly scope: string;
  readonly keyId: string;
  /** The key-encryption key that wraps it. */
  readonly kekId: string;
  readonly createdAt: string;
  readonly wrappedAt: string;
}

export interface KeyRotationView {
  readonly kekId: string;
  readonly rewrapped: number;
  readonly remaining: number;
  readonly rejected: readonly { readonly scope: string; readonly message: string }[];
}

/** A page of a list; `nextCursor` is null on the last one. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
}
