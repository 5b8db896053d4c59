import { errorCodes, type DormouseError } from '@dormouse/errors';

/** Sockets in the run directory, which is the pager's working directory. */
export const pagerSockets = {
  control: 'pager.sock',
  /** QEMU writes its memory here: the pager listens. */
  capture: 'capture.sock',
  /** QEMU reads its memory here: QEMU listens. */
  incoming: 'incoming.sock',
} as const;

/** `owner`: who ends a machine in waiting. */
export type ProcessRole = 'qemu' | 'pager' | 'owner';

/** The file of the run directory that remembers a process. */
export function processRecord(role: ProcessRole): string {
  return `${role}.json`;
}

interface JobBase {
  readonly operationId: string;
  readonly desktopId: string;
  readonly checkpointId: string;
  readonly keys: PagerKeys;
}

/** Keys on their way through the pager's standard input, in base64. */
export interface PagerKeys {
  readonly keyId: string;
  readonly dataKey: string;
  readonly contentKey: string;
}

/** Where the files are that disk sources name. */
export interface DiskFiles {
  /** `image/<n>` is element n. */
  readonly images: readonly string[];
  /** Where the layers lie: `<generation>/<n>` is `<generation>.<n>.qcow2` in it. */
  readonly layers: string;
}

/** Take in a machine's memory and store it as a checkpoint. */
export interface CaptureJob extends JobBase {
  readonly mode: 'capture';
  readonly fingerprint: Readonly<Record<string, unknown>>;
  /** The layer the machine writes to; sealed with this save. */
  readonly diskGeneration: string | null;
  readonly disks: DiskFiles;
  /** For each image, where the index of its content is kept. There may be none, or an outdated one. */
  readonly imageIndexes: readonly string[];
  /** The checkpoint whose pages need not be stored again, or null. */
  readonly previousCheckpointId: string | null;
  /** Generations whose layers stay for as long as checkpoints need them. */
  readonly keptGenerations: readonly string[];
  /** Pages of the wake set at most. */
  readonly wakeSetPages: number;
}

/** Be the source of a postcopy migration that reads from a checkpoint. */
export interface ServeJob extends JobBase {
  readonly mode: 'serve';
  readonly disks: DiskFiles;
  /**
   * lazy: the guest runs long before its memory is there. eager: all of its memory first. resume: the machine runs already and
   * has lost its pager; QEMU listens for another.
   */
  readonly how: 'lazy' | 'eager' | 'resume';
  /** What is to be done otherwise than usual. */
  readonly manner: Partial<WakeManner>;
}

/** How a guest is woken. */
export interface WakeManner {
  /** Whether the wake set is sent without being asked for. */
  readonly wakeSet: boolean;
  /**
   * A guest that has asked for nothing for so long has woken, unless what it wants is known and it is at work. Until then it is sent
   * nothing but what it asks for, so that it shows what it wants and has the processors to itself.
   */
  readonly restMs: number;
  /** One that never rests is taken to have woken when it has run for this long; while it waits for pages it does not run. */
  readonly longestMs: number;
  /** Chunks of 64 KiB that the rest is read in: while the guest faults, and while it rests. */
  readonly fill: { readonly least: number; readonly most: number };
}

export type PagerJob = CaptureJob | ServeJob;

/** What a pager reads from its standard input as soon as it is started, a line of JSON: where its work, if it gets any, will be stored. */
export interface PagerSetUp {
  readonly storageUrl: string;
}

/** What a waiting pager reads after that, another line. Nothing: its worker is gone, and so should it be. */
export interface PagerAssignment {
  /** The run directory to work in. */
  readonly directory: string;
  readonly job: PagerJob;
}

type PagerError = ReturnType<DormouseError['toJSON']>;

interface StatusBase {
  readonly operationId: string;
  readonly error: PagerError | null;
  /** Largest resident set so far. */
  readonly peakRssBytes: number;
}

/**
 * listening → receiving → sealed (all but the manifest is durable) → committed.
 * aborted: given up on request or because the worker vanished, nothing left in the store.
 */
export interface CaptureStatus extends StatusBase {
  readonly mode: 'capture';
  readonly state: 'listening' | 'receiving' | 'sealed' | 'committed' | 'aborted' | 'failed';
  /** Bytes of QEMU's stream so far. */
  readonly streamBytes: number;
  /** Of its memory that has come at least once. */
  readonly arrivedBytes: number;
  /** Of the whole guest; known once receiving. */
  readonly ramBytes: number;
  /** Of all objects but the manifest; known once sealed, like `pages` and `rawBytes`. */
  readonly storedBytes: number;
  /** Of the stored pages before they were compressed. */
  readonly rawBytes: number;
  readonly mapBytes: number;
  readonly wakePackBytes: number;
  /** What became of the pages: a checkpoint's `PageCounts`. */
  readonly pages: Readonly<Record<string, number>> | null;
}

/** opening (the checkpoint) → connecting (to QEMU) → loading (devices) → running (the guest) → hydrated. */
export interface ServeStatus extends StatusBase {
  readonly mode: 'serve';
  readonly state: 'opening' | 'connecting' | 'loading' | 'running' | 'hydrated' | 'failed';
  readonly totalPages: number;
  readonly sentPages: number;
  /** Pages the guest asked for. */
  readonly pageRequests: number;
  /** From the guest's running to the last page being there. */
  readonly hydratedMs: number | null;
  /** Not null while the store does not answer; the guest waits, reads are tried again. */
  readonly waitingForStorage: string | null;
}

export type PagerStatus = CaptureStatus | ServeStatus;

/** commit: write the manifest of what is sealed. abort: give up and leave nothing. leave: the work is done, exit. */
const commands = ['commit', 'abort', 'leave'] as const;
export type PagerCommand = { readonly command: (typeof commands)[number] };

/** The command in a line from a control socket, or null when there is none in it. */
export function parseCommand(line: string): PagerCommand['command'] | null {
  try {
    const message = JSON.parse(line) as { readonly command?: unknown } | null;
    return commands.find((command) => command === message?.command) ?? null;
  } catch {
    return null;
  }
}

/** The status in a line from a pager, or null when there is none in it that can be acted on. */
export function parseStatus<Status extends PagerStatus>(line: string): Status | null {
  try {
    const status: unknown = JSON.parse(line);
    if (!isObject(status) || typeof status['state'] !== 'string') return null;
    return status['state'] === 'failed' && !isPagerError(status['error']) ? null : (status as unknown as Status);
  } catch {
    return null;
  }
}

function isPagerError(error: unknown): error is PagerError {
  if (!isObject(error) || typeof error['message'] !== 'string' || !isObject(error['details'])) return false;
  return typeof error['code'] === 'string' && Object.hasOwn(errorCodes, error['code']);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
