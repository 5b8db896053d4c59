import type { HostCapabilities, LaunchSpec } from '@dormouse/qemu';
import type { Fingerprint } from './fingerprint';

/** A desktop's machine as the driver needs it. */
export interface Machine {
  readonly desktopId: string;
  readonly launchSpec: LaunchSpec;
  /** The layer of the disk the guest writes to; null for a machine without writable disks. */
  readonly diskGeneration: string | null;
  /**
   * The machine that ran when the operation was certainly ours, null when none did: another one is a successor's, and is not touched.
   * Left out: whichever runs.
   */
  readonly seen?: MachineId | null | undefined;
}

/** Tells the machines apart that a desktop has one after the other. */
export type MachineId = string;

/** Which checkpoint, on behalf of which operation. */
export interface CheckpointTarget {
  readonly operationId: string;
  readonly checkpointId: string;
  readonly keys: CheckpointKeys;
  /** Its guest had been stopped by somebody before it was saved, and stands still again once it is woken. */
  readonly paused?: boolean;
}

/** What the memory of a desktop is encrypted with, and its content recognised by. Each has 32 bytes. */
export interface CheckpointKeys {
  readonly keyId: string;
  readonly dataKey: Buffer;
  readonly contentKey: Buffer;
}

/** What a save need not store again. */
export interface CaptureBase {
  readonly previousCheckpointId: string | null;
  /** Disk generations that stay for as long as checkpoints need them. */
  readonly keptGenerations: readonly string[];
}

/**
 * What is really there. `stopped`: QEMU lives, its guest does not run (frozen by a save, or paused).
 * `waking`: QEMU lives and has not all of its memory yet. `shut-down`: QEMU lives, its guest has shut down, also while memory was coming.
 */
export type MachineCondition = 'absent' | 'running' | 'stopped' | 'waking' | 'shut-down';

/**
 * What QEMU says of a guest. `suspended`: by itself, to memory (S3). `paused`: by somebody. `io-error`: a disk cannot be read or written on the
 * host. `failed`: QEMU cannot go on with it.
 */
export type GuestCondition =
  'well' | 'shut-down' | 'suspended' | 'paused' | 'io-error' | 'panicked' | 'failed' | 'watchdog';

export interface GuestReport {
  readonly desktopId: string;
  readonly condition: GuestCondition;
  /** What QEMU says besides. */
  readonly about: string | null;
}

/**
 * The driver port. Methods that name a machine may only be called by the holder of its operation. A holder who is stopped for longer than its
 * lease, and goes on, does not know that he is none any more: what changes a machine takes the one that he has `seen`, and throws SUPERSEDED when
 * another runs.
 */
export interface Hypervisor {
  /** What this host can do, found by trying. @throws QEMU_MISSING, QEMU_TOO_OLD, USERFAULTFD_DENIED */
  probe(): Promise<HostCapabilities>;

  /**
   * Builds the machine without running it and asks what would keep it from being saved and woken. Clears away what an
   * examination of the same desktop that was killed has left behind.
   * @returns the machine's fingerprint
   * @throws LAUNCH_SPEC_INVALID, DESKTOP_NOT_MIGRATABLE, each with the reason
   */
  examine(machine: Pick<Machine, 'desktopId' | 'launchSpec'>): Promise<Fingerprint>;

  /** What this host would build of the spec: equal to a checkpoint's, or it cannot wake here. */
  fingerprint(launchSpec: LaunchSpec): Promise<Fingerprint>;

  /**
   * Starts the machine from its disk; resolves when it runs.
   * @param machine its `diskGeneration` is made here when it is not there yet
   * @param parent the generation to make it on, which stays as it is; null for the golden images
   * @throws MACHINE_START_FAILED
   */
  boot(machine: Machine, parent: string | null): Promise<MachineId>;

  /** Resolves when the guest answers, after at most `patienceMs`. @throws GUEST_UNRESPONSIVE, also when aborted */
  awaitGuest(machine: Machine, patienceMs: number, signal: AbortSignal): Promise<void>;

  /**
   * Starts to store a running machine's memory and resolves at the moment the guest is frozen with almost all of it
   * stored. Whatever fails before that leaves the guest running.
   * @throws MACHINE_CHANGED when it could not be woken as it is now, GUEST_STOPPED, GUEST_SHUT_DOWN
   */
  capture(
    machine: Machine,
    target: CheckpointTarget,
    options: CaptureBase & { signal: AbortSignal; onProgress: (progress: CaptureProgress) => void },
  ): Promise<Capture>;

  /**
   * Starts a machine from a checkpoint and resolves when its guest runs, long before its memory is there.
   * A wake that fails leaves no machine behind and the checkpoint as it was.
   * @param machine its `diskGeneration` is the one to write to, made here on top of `sealedGeneration`
   * @param how `eager`: all of its memory first, which needs less of QEMU and the kernel, and takes long
   * @throws WAKE_INTERRUPTED when a guest has written to that layer before: the checkpoint's memory knows nothing of it
   */
  wake(machine: Machine, target: CheckpointTarget, sealedGeneration: string | null, how?: WakeHow): Promise<Wake>;

  /**
   * Finds a wake that goes on after its worker died; with another pager when its own is gone too.
   * @returns null when the machine has all of its memory already
   * @throws MACHINE_GONE, QMP_FAILED when QEMU takes no other pager
   */
  rejoinWake(machine: Machine, target: CheckpointTarget): Promise<Wake | null>;

  /**
   * What a guest that was woken gets besides its memory, as soon as it can: its machine is announced to the network, its file systems
   * are thawed if a backup had frozen them, its clock is set. Resolves when its agent has answered, after at most `patienceMs`.
   * @returns how far the clock may be off now, in milliseconds; null when nobody sets it
   * @throws GUEST_UNRESPONSIVE, also when aborted
   */
  greet(machine: Machine, patienceMs: number, signal: AbortSignal): Promise<number | null>;

  /**
   * Makes ready, while nobody waits, what waking from `sealedGeneration` will need: its disk layer, and a machine that waits for
   * its memory, which ends with `release`, or when others wait whose desktops were left later.
   * @param machine as it slept
   */
  prepareWake(machine: Machine, sealedGeneration: string | null): Promise<void>;

  /** Desktops whose wake was prepared and has not come yet. */
  prepared(): readonly string[];

  /** What was prepared for the wake of a desktop ends: it has woken elsewhere. */
  unprepare(desktopId: string): Promise<void>;

  /**
   * Stops a running guest that has written nothing to its disks since its machine was started.
   * @returns false when it has written, and runs on
   * @throws MACHINE_GONE
   */
  pauseUnlessWritten(desktopId: string, seen?: MachineId | null): Promise<boolean>;

  /** Brings a machine back to running from wherever a save left it, and ends the save's pager. @throws MACHINE_GONE */
  thaw(desktopId: string, seen?: MachineId | null): Promise<void>;

  /**
   * Asks a guest to shut down, by its agent or by the power button, and waits until it has.
   * @returns false when it has not after `patienceMs`, when it cannot be asked, or when aborted: its machine is still there
   */
  shutDown(machine: Machine, patienceMs: number, signal: AbortSignal): Promise<boolean>;

  /**
   * Ends a machine and frees its memory; resolves when it is gone. Nothing happens when there is none.
   * @throws PROCESS_STUCK when a process of it outlives SIGKILL
   */
  release(desktopId: string, how?: ReleaseHow): Promise<void>;

  /** The machine that runs now; null when there is none. Asks it nothing. */
  seen(desktopId: string): Promise<MachineId | null>;

  condition(desktopId: string): Promise<MachineCondition>;

  /**
   * Listens from now on to what QEMU says of this guest, if nobody does yet, and tells those who want to know. What is told is a hint:
   * `condition` asks.
   */
  follow(desktopId: string): void;

  /** Told of each change of a guest that is followed, and of how it is when following begins. @returns ends it */
  onGuestReport(listener: (report: GuestReport) => void): () => void;

  /** What was told last of a guest that is followed; null when nothing was. */
  guestReport(desktopId: string): GuestReport | null;

  /** Has a guest go on that is suspended, or that a disk has stopped; nothing happens to others. @throws MACHINE_GONE */
  rouse(desktopId: string): Promise<void>;

  /** Whether the machine's QEMU lives on this host. Asks it nothing, so it answers whatever that is waiting for. */
  isAlive(desktopId: string): Promise<boolean>;

  /** The desktops whose QEMU lives on this host, whoever started it. */
  machines(): Promise<readonly string[]>;

  /** Bounds what machines and the programs around them have written to their logs. To be called every few seconds. */
  boundLogs(): Promise<void>;

  /**
   * Removes the disk layer of a machine that came to nothing.
   * @returns false when its guest has written to it: then it stays, since only a person may say that this can be lost
   */
  discardGeneration(machine: Machine, generation: string): Promise<boolean>;

  /** Removes all that the host keeps of a desktop: run directory and disks. */
  forget(desktopId: string): Promise<void>;

  /** Ends what was only kept ready. Machines and their pagers go on. */
  close(): Promise<void>;
}

export interface ReleaseHow {
  /** Its QEMU is given no time to end by itself. */
  readonly byForce?: boolean;
  /** As `Machine` has it. */
  readonly seen?: MachineId | null | undefined;
}

export interface CaptureProgress {
  readonly streamBytes: number;
  /** Of the guest's memory that has come at least once, of `ramBytes`. */
  readonly arrivedBytes: number;
  readonly ramBytes: number;
}

/**
 * A save whose guest is frozen. Ends by `commit`, `conclude` and the machine's release, or by `abandon`. Aborted, `switchOver` and `commit` reject
 * at once with the reason, whatever they were waiting for: a storage that is away must not keep a guest from its user.
 */
export interface Capture {
  /** When QEMU told of the freeze, by `performance.now()`: what is asked is for how long. */
  readonly frozenAtMs: number;
  /** Takes in the rest and makes all but the manifest durable. @throws with the guest still frozen: abandon it */
  switchOver(signal: AbortSignal): Promise<void>;
  /** Writes the manifest: from here on the checkpoint exists. Aborted, it may yet come to. */
  commit(signal: AbortSignal): Promise<CaptureFacts>;
  /**
   * Thaws the guest in place and removes what was stored, unless it was committed. What a storage does not let go of in a
   * moment is left to the collector.
   */
  abandon(): Promise<void>;
  /**
   * Aborted, with the reason, when the save cannot go on: QEMU or the pager has failed, or the guest stands still for longer than is
   * allowed. Whatever is waited for then, the save is to be abandoned at once.
   */
  readonly failed: AbortSignal;
  /**
   * To be called when the commit is known to the ledger: the pager ends, so that nobody else can let the guest run any more.
   * @throws FREEZE_TOO_LONG when the pager has let it run, for want of a worker: abandon it
   */
  conclude(): Promise<void>;
  /** Lets go of all, and leaves the machine to whoever has taken over. */
  close(): void;
}

export interface CaptureFacts {
  readonly ramBytes: number;
  /** Bytes of the checkpoint in the store. */
  readonly storedBytes: number;
  /** Bytes QEMU sent for it. */
  readonly streamBytes: number;
  /** Of the stored pages before they were compressed. */
  readonly rawBytes: number;
  /** Of page map and known pages. */
  readonly mapBytes: number;
  readonly wakePackBytes: number;
  /** What became of the guest's pages: zero, previous, disk, duplicate, stored, … */
  readonly pages: Readonly<Record<string, number>>;
  readonly pagerPeakRssBytes: number;
  /** Somebody had stopped the guest before. */
  readonly paused: boolean;
}

export type WakeHow = 'lazy' | 'eager';

/** A machine that runs and whose memory is still coming. */
export interface Wake {
  readonly machine: MachineId;
  /** Whether its QEMU had been started before anybody asked for it; null of a wake that was joined. */
  readonly machineWaited: boolean | null;
  /** Resolves when all memory is there. @throws the pager's error */
  hydrated(onProgress: (progress: WakeProgress) => void): Promise<WakeProgress>;
  /** Watches it no longer: it is somebody else's, or nobody's. The memory goes on coming. */
  letGo(): void;
}

export interface WakeProgress {
  readonly totalPages: number;
  readonly sentPages: number;
  readonly pageRequests: number;
  /** From the guest's running to the last page being there; null before that. */
  readonly hydratedMs: number | null;
  readonly waitingForStorage: string | null;
  readonly pagerPeakRssBytes: number;
  /** Pagers that died on the way, each followed by another. */
  readonly pagersReplaced: number;
}
