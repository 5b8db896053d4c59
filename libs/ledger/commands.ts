import type {
  BrokerEvent,
  Consent,
  FinishStatus,
  JsonObject,
  LayerToWrite,
  OperationKind,
  RecordedError,
} from '@dormouse/session';
import type { ApiScope, CheckpointView, DesktopView, HostTrouble, OperationView } from '@dormouse/views';

/** One event of a verified webhook, whose `webhook-id` is `webhookId`. The same webhook, or event, twice has no second effect. */
export interface Delivery {
  readonly webhookId: string;
  readonly event: BrokerEvent;
  /** What was wrong with the event's side fields. */
  readonly notes?: readonly string[];
}

export interface Receipt {
  readonly outcome: 'applied' | 'ignored' | 'stale' | 'duplicate';
  /** Null when the event speaks of the broker itself and of no desktop. */
  readonly desktop: DesktopView | null;
  readonly explanation: string;
}

export interface Registration {
  readonly id: string;
  readonly poolId: string;
  readonly launchSpec: JsonObject;
  /** Who asks, for the operation and the audit log. */
  readonly actor: string;
  readonly reason?: string | undefined;
}

export interface Registered {
  readonly desktop: DesktopView;
  /** The examination under way; null when the desktop exists with an equal spec and nothing is to be done. */
  readonly operation: OperationView | null;
  /** False when the desktop existed before. */
  readonly created: boolean;
}

export interface RequestCommand {
  readonly kind: Exclude<OperationKind, 'register'>;
  readonly reason: string;
  readonly requestedBy: string;
  /** Save or stop although somebody is there. */
  readonly force?: boolean;
  /** How long a forced one may wait before it begins; it is called off then. Left out: ten minutes. */
  readonly validForMs?: number;
  /** Only for `save`: one under way may be joined, and is followed by one more if it does not put the desktop to sleep. */
  readonly fresh?: boolean;
  /**
   * Only for `restore`: a durable checkpoint of the desktop. To name another than its own is to agree that the desktop
   * loses what came after it.
   */
  readonly checkpointId?: string;
}

/** What may be lost of a desktop that cannot be woken. */
export interface ConsentCommand {
  readonly to: Consent;
  readonly reason: string;
  readonly requestedBy: string;
}

export interface HoldCommand {
  /** Null: not held any longer. */
  readonly until: Date | null;
  readonly reason: string;
  readonly actor: string;
}

export interface BrokerCommand {
  /** In its one form, as `brokerName` gives it. Null: of the broker that speaks of the desktop next. */
  readonly source: string | null;
  readonly reason: string;
  readonly actor: string;
}

export interface PrewarmCommand {
  /** Kept up until then, whether or not its user comes. */
  readonly until?: Date;
  readonly reason: string;
  readonly requestedBy: string;
}

export interface CancelCommand {
  readonly reason: string;
  readonly requestedBy: string;
}

export interface PinCommand {
  readonly desktopId: string;
  readonly checkpointId: string;
  readonly reason: string;
  readonly actor: string;
}

/**
 * Names one claim of one operation in force; comes from `claim`, and what carries an old one changes nothing.
 * `attempt` tells a worker that lost its lease from the one that took over: both know the operation.
 */
export interface Fence {
  readonly desktopId: string;
  readonly operationId: string;
  readonly generation: number;
  readonly attempt: number;
}

export interface ClaimedOperation {
  readonly fence: Fence;
  readonly operation: OperationView;
  readonly desktop: DesktopView;
  /** The spec to work with: for `register` the one to be examined, which is not the desktop's own before it is good. */
  readonly launchSpec: JsonObject;
  /** What a restore wakes, what a save compares with: the desktop's current checkpoint, or the one that was named. */
  readonly checkpoint: CheckpointView | null;
  /** What the machine writes to, if it has writable disks; null when the operation starts no machine. */
  readonly layer: LayerToWrite | null;
  /** Somebody wants it in spite of who is there, and of what hangs. */
  readonly forced: boolean;
  /** A save may be spared, if the machine has written nothing to its disks: `fallBack`. */
  readonly mayFallBack: boolean;
  /** Another worker (or an earlier life of this one) held it before: look at what is really there, then act. */
  readonly takenOver: boolean;
  /** From when it was asked for to this claim. */
  readonly waitedMs: number;
}

/** What a durable checkpoint is, as its commit records it. */
export interface CheckpointFacts {
  readonly id: string;
  readonly storagePrefix: string;
  /** The disk generation sealed with it; null for a desktop without disks. */
  readonly diskGeneration: string | null;
  readonly ramBytes: number;
  readonly storedBytes: number;
  readonly facts: JsonObject;
}

export interface FinishOutcome {
  readonly status: FinishStatus;
  readonly result?: JsonObject;
  readonly error?: RecordedError;
  /** What the operation has found out or changed about the desktop. */
  readonly desktop?: {
    readonly fingerprint?: JsonObject;
    readonly hostId?: string;
    /** The disk generation that is written to from now on: that of `ClaimedOperation.layer`. */
    readonly diskGeneration?: string;
  };
}

export interface HostCommand {
  readonly hostId: string;
  readonly command: 'cordon' | 'uncordon' | 'drain' | 'fence';
  readonly reason: string;
  readonly actor: string;
}

export interface HostAnnouncement {
  readonly id: string;
  readonly capabilities: JsonObject;
  /** Left out: none. */
  readonly troubles?: readonly HostTrouble[];
}

export interface ApiKeyCommand {
  readonly name: string;
  readonly scope: ApiScope;
  /** Null: all pools, and what belongs to none. */
  readonly pools: readonly string[] | null;
  readonly expiresInDays: number;
  readonly reason: string;
  readonly actor: string;
}

export interface RevokeCommand {
  readonly name: string;
  readonly reason: string;
  readonly actor: string;
}

export interface AuditEntry {
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly reason?: string | undefined;
  readonly outcome: string;
  readonly details?: JsonObject;
}
