import type { ErrorCode } from '@dormouse/errors';

/** One wait: what is waited for, how long, and what happens then. `docs/limits.md` is made of these. */
export interface WaitLimit {
  readonly ms: number;
  /** Whom somebody waits for, and what it is to do: "QEMU", "answer a command". */
  readonly who: string;
  readonly to: string;
  /** The code of the error that ends the wait. */
  readonly code: ErrorCode;
  /** What happens then, for operators. */
  readonly then: string;
}

/** Every wait on another process, a socket, a service or a guest. */
export const limits = {
  // QEMU
  qmpConnect: {
    ms: 5_000,
    who: 'QEMU',
    to: 'take a control connection',
    code: 'MACHINE_SILENT',
    then: 'The operation fails. A save is tried again later; `desktop stop --force` kills the machine.',
  },
  qmpCommand: {
    ms: 10_000,
    who: 'QEMU',
    to: 'answer a command',
    code: 'MACHINE_SILENT',
    then: 'As above. A wake kills this QEMU and starts another.',
  },
  qmpThaw: {
    ms: 1_500,
    who: 'QEMU',
    to: 'let a frozen guest run again',
    code: 'MACHINE_SILENT',
    then: 'The worker kills the pager, for which QEMU may be waiting, and tries once more for 5 s.',
  },
  qemuStart: {
    ms: 30_000,
    who: 'QEMU',
    to: 'start and open its control socket',
    code: 'MACHINE_START_FAILED',
    then: 'QEMU is killed. A boot fails; a wake tries another QEMU, then another host.',
  },
  qemuQuit: {
    ms: 5_000,
    who: 'QEMU',
    to: 'end after `quit`',
    code: 'MACHINE_SILENT',
    then: 'QEMU is killed with SIGKILL.',
  },
  qemuQuitForced: {
    ms: 1_000,
    who: 'QEMU',
    to: 'end after `quit` when an operator forces a stop',
    code: 'MACHINE_SILENT',
    then: 'QEMU is killed with SIGKILL.',
  },
  processKilled: {
    ms: 10_000,
    who: 'the kernel',
    to: 'end a process after SIGKILL',
    code: 'PROCESS_STUCK',
    then: 'The operation fails and names the process. It hangs in the kernel, mostly on a file system that does not answer.',
  },
  qemuProbe: {
    ms: 10_000,
    who: 'QEMU',
    to: 'say what it can do, when a worker starts',
    code: 'QEMU_MISSING',
    then: 'It is killed, and the worker does not start.',
  },
  qemuImg: {
    ms: 30_000,
    who: '`qemu-img`',
    to: 'make a disk layer, or tell of one',
    code: 'MACHINE_START_FAILED',
    then: '`qemu-img` is killed, and the operation fails.',
  },
  layerMerge: {
    ms: 60 * 60_000,
    who: '`qemu-img`',
    to: 'merge layers nobody uses',
    code: 'STORAGE_FAILED',
    then: '`qemu-img` is killed; the layers stay, and the next round of the collector merges them.',
  },
  // Pagers
  pagerStart: {
    ms: 20_000,
    who: 'the pager',
    to: 'take a connection after its start',
    code: 'PAGER_FAILED',
    then: 'It is killed. A save fails and is tried again later; a wake starts another.',
  },
  savingPagerNews: {
    ms: 30_000,
    who: 'the pager',
    to: 'say during a save that it is there',
    code: 'PAGER_FAILED',
    then: 'It is killed, the guest runs on, and the save is tried again later.',
  },
  wakingPagerNews: {
    ms: 5_000,
    who: 'the pager',
    to: 'say during a wake that it is there',
    code: 'PAGER_FAILED',
    then: 'It is killed. Another goes on with the memory of a guest that runs; before that the wake begins anew.',
  },
  pagerEnd: {
    ms: 5_000,
    who: 'the pager',
    to: 'end when it is told to',
    code: 'PAGER_FAILED',
    then: 'It is killed with SIGKILL.',
  },
  // From freeze to commit
  freeze: {
    ms: 6_000,
    who: 'the save',
    to: 'commit once the guest was frozen',
    code: 'FREEZE_TOO_LONG',
    then: 'The worker lets the guest run and calls the save off, whatever it was waiting for. It is tried again later.',
  },
  freezeWithoutWorker: {
    ms: 7_500,
    who: 'the worker',
    to: 'commit the save, or let the guest run',
    code: 'FREEZE_TOO_LONG',
    then: 'The pager lets the guest run. The worker, if it comes back, finds it running and calls the save off.',
  },
  thawWithoutWorker: {
    ms: 15 * 60_000,
    who: 'QEMU',
    to: 'let its guest run again, when nobody but the pager is left to ask it',
    code: 'MACHINE_SILENT',
    then: 'The pager, which has asked every second, ends. The next save of the desktop lets the guest run first.',
  },
  lapsedLease: {
    ms: 1_500,
    who: 'Postgres',
    to: 'say whether a save is still its worker’s whose lease has run out',
    code: 'SERVICE_UNAVAILABLE',
    then: 'The worker lets the guest run, as it does with a save that is its own.',
  },
  clearUp: {
    ms: 2_000,
    who: 'the storage',
    to: 'remove what a save that was called off has stored',
    code: 'STORAGE_FAILED',
    then: 'It stays for the collector.',
  },
  wakeRunning: {
    ms: 60_000,
    who: 'the pager and QEMU',
    to: 'have the guest run',
    code: 'PAGER_FAILED',
    then: 'Both are killed, and the next way of waking is tried.',
  },
  wakeEager: {
    ms: 60 * 60_000,
    who: 'the pager and QEMU',
    to: 'load all memory of a guest that could not be woken lazily',
    code: 'PAGER_FAILED',
    then: 'Both are killed, and the wake fails. A pager that says nothing ends it sooner.',
  },
  wakeLoads: {
    ms: 30_000,
    who: 'QEMU',
    to: 'load its devices once it has all memory',
    code: 'MIGRATION_FAILED',
    then: 'It is killed, and the wake fails.',
  },
  // Guests. None of these waits holds a slot.
  agentAtBoot: {
    ms: 180_000,
    who: 'the guest agent',
    to: 'answer after a boot',
    code: 'GUEST_UNRESPONSIVE',
    then: 'The desktop counts as running, and a line in the log says that its agent is silent.',
  },
  agentAfterHydration: {
    ms: 10_000,
    who: 'the guest agent',
    to: 'answer once all memory of a woken guest is there',
    code: 'GUEST_UNRESPONSIVE',
    then: 'The wake has succeeded without; the agent is listened for in the background.',
  },
  agentAfterWake: {
    ms: 10 * 60_000,
    who: 'the guest agent',
    to: 'answer after a wake, so that the clock of its guest is set',
    code: 'GUEST_UNRESPONSIVE',
    then: 'A line in the log says that the clock may be wrong. The user has had the desktop since its guest runs.',
  },
  agentAnswer: {
    ms: 10_000,
    who: 'the guest agent',
    to: 'answer a command once it has answered at all',
    code: 'GUEST_UNRESPONSIVE',
    then: 'As above.',
  },
  agentAfterThaw: {
    ms: 1_000,
    who: 'the guest agent',
    to: 'set the clock of a guest whose save was called off',
    code: 'GUEST_UNRESPONSIVE',
    then: 'The clock stays behind for as long as the guest stood still, until the guest corrects it.',
  },
  // Services
  postgresConnect: {
    ms: 8_000,
    who: 'Postgres',
    to: 'take a connection, or give one of ours free',
    code: 'SERVICE_UNAVAILABLE',
    then: 'A request is answered with 503. A worker tries again; what it has under way goes on.',
  },
  postgresAnswerToApi: {
    ms: 8_000,
    who: 'Postgres',
    to: 'answer a statement of the api',
    code: 'SERVICE_UNAVAILABLE',
    then: 'The connection is given up, and the request answered with 503. Postgres itself ends the statement, if it can.',
  },
  postgresAnswer: {
    ms: 30_000,
    who: 'Postgres',
    to: 'answer a statement of a worker',
    code: 'SERVICE_UNAVAILABLE',
    then: 'The connection is given up. A report is made again by the next job; a frozen guest is not kept waiting (see `freeze`).',
  },
  postgresIdleTransaction: {
    ms: 15_000,
    who: 'whoever has begun a transaction',
    to: 'go on with it',
    code: 'SERVICE_UNAVAILABLE',
    then: 'Postgres ends the connection, and its locks with it: a process that hangs keeps no other from a desktop.',
  },
  redisCommand: {
    ms: 5_000,
    who: 'Redis',
    to: 'answer a command',
    code: 'SERVICE_UNAVAILABLE',
    then: 'What was to be queued stays in Postgres, and is queued when Redis is back.',
  },
  vaultAnswer: {
    ms: 5_000,
    who: 'Vault',
    to: 'answer a request, which is tried three times',
    code: 'KEY_UNAVAILABLE',
    then: 'The save or wake fails, and is tried again later.',
  },
  fileAnswer: {
    ms: 60_000,
    who: 'the file system of the storage',
    to: 'read, write, sync or list',
    code: 'STORAGE_FAILED',
    then: 'A save fails, and is tried again later. Until the call returns, the process asks that file system nothing else: each call that hangs keeps one of its four threads for files.',
  },
  s3Connect: {
    ms: 5_000,
    who: 'the object store',
    to: 'take a connection',
    code: 'STORAGE_FAILED',
    then: 'As below.',
  },
  s3Silence: {
    ms: 10_000,
    who: 'the object store',
    to: 'send or take a byte of a request, which is tried five times',
    code: 'STORAGE_FAILED',
    then: 'A save fails, and is tried again later. A guest that runs and lacks memory waits, and is asked for again all the time.',
  },
  storageLook: {
    ms: 10_000,
    who: 'the storage',
    to: 'answer a worker that looks whether it can be used',
    code: 'STORAGE_FAILED',
    then: '`/readyz` and `dormouse host list` say so. A worker that starts goes on without S3, and does not start without its directory.',
  },
  directoryLook: {
    ms: 5_000,
    who: 'the file system',
    to: 'take a small file of a worker that looks whether a directory can be used',
    code: 'DIRECTORY_UNUSABLE',
    then: '`/readyz` and `dormouse host list` say so. A worker does not start.',
  },
  apiAnswer: {
    ms: 60_000,
    who: 'the api',
    to: 'answer the command line or the launcher',
    code: 'SERVICE_UNAVAILABLE',
    then: 'The command fails; what it has asked for may yet happen.',
  },
  // Operations
  overtakenWork: {
    ms: 15_000,
    who: 'the operation that a forced stop has overtaken',
    to: 'let go of the machine',
    code: 'PROCESS_STUCK',
    then: 'The stop fails, though the machine was killed; it can be asked for again. A restart of the worker ends what hangs.',
  },
} as const satisfies Record<string, WaitLimit>;

export type LimitName = keyof typeof limits;
