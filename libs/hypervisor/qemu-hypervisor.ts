import { mkdir, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { contentIndexFile } from '@dormouse/content-index';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { boundLogs } from '@dormouse/files';
import { limits, timedOut, within } from '@dormouse/limits';
import {
  type CaptureStatus,
  type DiskFiles,
  type PagerClient,
  type PagerKeys,
  type ServeJob,
  type ServeStatus,
  type WakeManner,
} from '@dormouse/pager-control';
import {
  asUser,
  holdsOpen,
  hugePageHeap,
  isProcessAlive,
  ProgramStarter,
  processEnded,
  stopProcess,
  type ProcessIdentity,
  type ProcessUser,
} from '@dormouse/process';
import {
  GuestAgent,
  hasWritten,
  isMigrating,
  launchArguments,
  type LaunchPlacement,
  jobsInTheWay,
  losesWrites,
  lossyMainMemory,
  machineDifferences,
  machineParts,
  memoryKiB,
  probeHost,
  sleepObstacles,
  socketFolder,
  socketNames,
  thawMachine,
  type AcceleratorChoice,
  type HostCapabilities,
  type LaunchSpec,
  type MachineParts,
  type QmpClient,
} from '@dormouse/qemu';
import { desktopOfSafeName, safeName } from '@dormouse/text';
import { DiskLayers } from './disk-layers';
import { fingerprintOf, type Fingerprint } from './fingerprint';
import { closeNetworks, GuestNetworks } from './guest-networks';
import { askToShutDown } from './ask-to-shut-down';
import { greetGuest, setClockAfterThaw } from './guest-clock';
import { GuestWatch } from './guest-watch';
import { ImagePlaces } from './image-places';
import type {
  Capture,
  CaptureBase,
  CaptureProgress,
  CheckpointKeys,
  CheckpointTarget,
  GuestReport,
  Hypervisor,
  Machine,
  MachineCondition,
  MachineId,
  ReleaseHow,
  Wake,
  WakeHow,
} from './hypervisor';
import { KnownImages, type PlacedDisk } from './images/known-images';
import { preparedOn } from './layers/layer-names';
import { usualSaveLimits, type SaveLimits } from './convergence';
import { MachinesInWaiting } from './machines-in-waiting';
import { connectPager, PagerStarter } from './pager-process';
import { QemuCapture, saveableStatus } from './qemu-capture';
import { awakened, rouse } from './rouse-guest';
import { connectQemu, gone, startQemu, withQemu, type StartedQemu } from './qemu-process';
import { readyUser } from './qemu-user';
import { QemuWake } from './qemu-wake';
import { rescuePipeFiles, rescuePipes, RescueChannel } from './rescue-channel';
import { ResidentQemu } from './resident-qemu';
import { RunDirectory } from './run-directory';

export interface QemuHypervisorOptions {
  readonly qemu: string;
  readonly qemuImg: string;
  readonly accelerator: AcceleratorChoice;
  /** Run directories, one for each running machine. */
  readonly runRoot: string;
  /** Disk layers, one directory for each desktop. */
  readonly diskRoot: string;
  /** Where the files that launch specs name may lie; left out or null, anywhere. */
  readonly imageDirs?: readonly string[] | null;
  readonly storageUrl: string;
  /** As whom QEMU runs: `uid:gid` or a name. Left out or null, as we do. */
  readonly qemuUser?: string | null;
  /** How many machines of sleeping desktops are kept started. */
  readonly machinesInWaiting: number;
  /** How guests are woken, where it is to be otherwise than usual. */
  readonly wakeManner?: Partial<WakeManner>;
  /** When a save is given up whose guest writes too fast, where it is to be otherwise than usual. */
  readonly saveLimits?: Partial<SaveLimits>;
  /** The compiled pager. */
  readonly pagerProgram: string;
}

/** Of the wake set, at most this share of the memory, and 64 MiB. */
const wakeSetShare = 0.05;
const mostWakeSetPages = 16_384;
/** Gratuitous packets after waking, as `announce-self` sends them: switches learn where the machine is now. */
const announcement = { initial: 50, max: 550, rounds: 5, step: 50 };
const toWake = { incoming: 'defer', rescue: rescuePipes } as const;
const lazily = ['events', 'postcopy-ram', 'postcopy-blocktime'].map((capability) => ({ capability, state: true }));
const rejoinPatienceMs = 1_000;
/** From the closing of a pager's socket to its end. */
const endingPatienceMs = 250;
const deafAfterMs = 5_000;
const shutDownLookMs = 100;

/** The driver port on stock QEMU. Keeps nothing in memory that a restart would lose: what is there is in the run directories. */
export class QemuHypervisor implements Hypervisor {
  private readonly layers: DiskLayers;
  private readonly places: ImagePlaces;
  private readonly known: KnownImages;
  private readonly pagers: PagerStarter;
  private readonly waiting: MachinesInWaiting;
  private readonly guests = new GuestWatch();
  private readonly resident = new ResidentQemu();
  private readonly starter = new ProgramStarter(hugePageHeap);
  private readonly networks = new GuestNetworks(this.starter);
  private readonly saveLimits: SaveLimits;
  private capabilities: Promise<HostCapabilities> | null = null;
  private qemuUser: Promise<ProcessUser | null> | null = null;

  constructor(private readonly options: QemuHypervisorOptions) {
    this.layers = new DiskLayers(options.diskRoot, options.qemuImg);
    this.places = new ImagePlaces(options.imageDirs ?? null);
    this.saveLimits = { ...usualSaveLimits, ...options.saveLimits };
    this.known = new KnownImages(options.diskRoot);
    const { pagerProgram, runRoot, storageUrl } = options;
    this.waiting = new MachinesInWaiting(runRoot, options.machinesInWaiting);
    this.pagers = new PagerStarter(pagerProgram, join(runRoot, '.pagers.log'), { storageUrl });
  }

  async probe(): Promise<HostCapabilities> {
    this.capabilities ??= this.probeOnce();
    return this.capabilities;
  }

  async examine({ desktopId, launchSpec }: Pick<Machine, 'desktopId' | 'launchSpec'>): Promise<Fingerprint> {
    // Named after its desktop, beside the desktop's own: whoever examines it next finds what a killed worker has left.
    const trial = { desktopId: `.examine-${safeName(desktopId)}`, launchSpec, diskGeneration: 'trial' };
    await this.known.checkEdit(desktopId, launchSpec);
    await this.forget(trial.desktopId);
    await this.places.check(launchSpec); // before qemu-img reads it
    try {
      const disks = await this.known.place(trial.desktopId, launchSpec);
      await this.layers.create(trial.desktopId, disks, trial.diskGeneration, null);
      const { qmp } = await this.start(trial, await this.anew(trial), { paused: true });
      try {
        await checkMigratable(qmp, launchSpec, await this.probe());
      } finally {
        qmp.close();
      }
      return await this.fingerprint(launchSpec);
    } catch (error) {
      const isOfSpec = ['MACHINE_START_FAILED', 'DISK_LAYER_FAILED', 'DISK_SOURCE_MISSING'] as const;
      if (!(error instanceof DormouseError) || !isOfSpec.some((code) => code === error.code)) throw error;
      throw new DormouseError('LAUNCH_SPEC_INVALID', error.message, {}, { cause: error });
    } finally {
      await this.forget(trial.desktopId);
    }
  }

  async fingerprint(launchSpec: LaunchSpec): Promise<Fingerprint> {
    return fingerprintOf(launchSpec, await this.probe());
  }

  async boot(machine: Machine, parent: string | null): Promise<MachineId> {
    await this.places.check(machine.launchSpec); // before qemu-img reads it
    const disks = await this.known.place(machine.desktopId, machine.launchSpec);
    const directory = await this.anew(machine);
    if (machine.diskGeneration !== null) {
      await this.layers.create(machine.desktopId, disks, machine.diskGeneration, parent);
    }
    const { qmp, identity } = await this.start(machine, directory, {});
    try {
      await directory.recordBuilt(await machineParts(qmp));
    } finally {
      qmp.close();
    }
    this.follow(machine.desktopId);
    return idOf(identity);
  }

  async awaitGuest(machine: Machine, patienceMs: number, signal: AbortSignal): Promise<void> {
    if (machine.launchSpec.readiness === 'none') return;
    const agent = await GuestAgent.connect(this.directory(machine.desktopId).socket(socketNames.agent));
    signal.addEventListener('abort', () => agent.close());
    try {
      await agent.synchronise(patienceMs);
    } finally {
      agent.close();
    }
  }

  async capture(
    machine: Machine,
    target: CheckpointTarget,
    options: CaptureBase & { signal: AbortSignal; onProgress: (progress: CaptureProgress) => void },
  ): Promise<Capture> {
    const fingerprint = await this.fingerprint(machine.launchSpec);
    const directory = this.directory(machine.desktopId);
    const qmp = await connectQemu(directory, await qemuOf(directory, machine.seen));
    try {
      await runsOn(qmp);
      const built = await directory.built();
      const host = await this.probe();
      const check = (): Promise<void> => checkUnchanged(qmp, built, host);
      await awakened(qmp);
      await saveableStatus(qmp);
      await check();
      const pager = await this.pagers.start<CaptureStatus>(directory, {
        mode: 'capture',
        ...(await this.pagerJob(machine, target)),
        fingerprint,
        diskGeneration: machine.diskGeneration,
        imageIndexes: await Promise.all(
          (await this.known.images(machine.desktopId, machine.launchSpec)).map((image) =>
            contentIndexFile(this.options.diskRoot, image),
          ),
        ),
        previousCheckpointId: options.previousCheckpointId,
        keptGenerations: options.keptGenerations,
        wakeSetPages: Math.min(mostWakeSetPages, Math.floor(machine.launchSpec.memoryMiB * 256 * wakeSetShare)),
      });
      return await QemuCapture.begin({ qmp, pager, directory, check, saveLimits: this.saveLimits }, options);
    } catch (error) {
      qmp.close();
      throw error;
    }
  }

  async wake(
    machine: Machine,
    target: CheckpointTarget,
    sealedGeneration: string | null,
    how: WakeHow = 'lazy',
  ): Promise<Wake> {
    let starting: Promise<ProcessIdentity | null> = Promise.resolve(null);
    await this.checkUnwritten(machine);
    const disks = await this.known.place(machine.desktopId, machine.launchSpec);
    try {
      const waiting = how === 'lazy' ? await this.takeWaiting(machine, disks, sealedGeneration) : null;
      const listens = waiting !== null;
      if (listens) starting = Promise.resolve(waiting);
      else await this.anew(machine);
      if (listens && target.paused === true) await withQemu(this.directory(machine.desktopId), standStill);
      const pagerStarted = this.startServing(machine, target, how);
      if (!listens) starting = this.startForWake(machine, disks, sealedGeneration, { how, paused: target.paused });
      const running = async (): Promise<PagerClient<ServeStatus>> => {
        const [pager] = await Promise.all([pagerStarted, Promise.race([starting, pagerFails(pagerStarted)])]);
        await pager.reached('running', 'hydrated');
        return pager;
      };
      const pager = await within(how === 'eager' ? 'wakeEager' : 'wakeRunning', running());
      if (how === 'eager') await this.untilRunning(machine.desktopId, target.paused);
      return this.served(machine, target, pager, { machine: idOf((await starting)!), machineWaited: listens });
    } catch (error) {
      const own = await starting.catch(() => null); // a QEMU still being started would be missed by the release
      await this.release(machine.desktopId, { seen: own === null ? machine.seen : idOf(own) });
      throw error;
    }
  }

  async rejoinWake(machine: Machine, target: CheckpointTarget): Promise<Wake | null> {
    const qemu = await qemuOf(this.directory(machine.desktopId), machine.seen);
    if (qemu === null) throw gone(machine.desktopId);
    const pager = (await this.servingPager(machine.desktopId)) ?? (await this.replacePager(machine, target));
    return pager && this.served(machine, target, pager, { machine: idOf(qemu), machineWaited: null });
  }

  async greet({ desktopId, launchSpec }: Machine, patienceMs: number, signal: AbortSignal): Promise<number | null> {
    this.follow(desktopId);
    const directory = this.directory(desktopId);
    // A main loop that waits for a page answers late, and the guest may be reached without: what it sends itself announces it too.
    const announced = withQemu(directory, (qmp) => qmp.execute('announce-self', announcement)).catch(() => undefined);
    const greeted =
      launchSpec.readiness === 'agent' ? greetGuest(directory, patienceMs, signal) : Promise.resolve(null);
    await Promise.allSettled([announced, greeted]);
    return greeted;
  }

  async prepareWake(machine: Machine, sealedGeneration: string | null): Promise<void> {
    const { desktopId, launchSpec } = machine;
    this.pagers.prepare();
    if (sealedGeneration !== null) {
      const disks = await this.known.place(desktopId, launchSpec);
      await this.layers.prepare(desktopId, launchSpec, disks, sealedGeneration);
    }
    const next = nextOn(machine, sealedGeneration);
    await this.waiting.add(desktopId, await this.blueprint(next), await this.user(), (directory) =>
      this.listenForMemory(next, directory, 'lazy'),
    );
  }

  prepared(): readonly string[] {
    return this.waiting.desktops();
  }

  unprepare(desktopId: string): Promise<void> {
    return this.waiting.end(desktopId);
  }

  async pauseUnlessWritten(desktopId: string, seen?: MachineId | null): Promise<boolean> {
    const directory = this.directory(desktopId);
    const stopped = async (qmp: QmpClient): Promise<boolean> => {
      if (await hasWritten(qmp)) return false; // spares it the moment of standing still
      await qmp.execute('stop');
      let written = true;
      try {
        written = await hasWritten(qmp);
      } finally {
        if (written) await qmp.execute('cont');
      }
      return !written;
    };
    return withQemu(directory, stopped, await qemuOf(directory, seen));
  }

  async thaw(desktopId: string, seen?: MachineId | null): Promise<void> {
    const directory = this.directory(desktopId);
    const qemu = await qemuOf(directory, seen);
    // First the pager, which would otherwise hold on to the control socket or store what nobody wants.
    const pager = await directory.liveProcess('pager');
    if (pager !== null) await stopProcess(pager, { patienceMs: limits.pagerEnd.ms });
    const staysPaused = await directory.wasPaused();
    await withQemu(directory, (qmp) => thawMachine(qmp, { staysPaused }), qemu);
    if (!staysPaused) await setClockAfterThaw(directory);
  }

  async shutDown({ desktopId, launchSpec, seen }: Machine, patienceMs: number, signal: AbortSignal): Promise<boolean> {
    const directory = this.directory(desktopId);
    await qemuOf(directory, seen);
    this.follow(desktopId);
    const deadline = performance.now() + patienceMs;
    try {
      if (!(await askToShutDown(directory, launchSpec))) return false;
    } catch (error) {
      if (!isDormouseError(error)) throw error;
      return false; // it cannot be asked
    }
    while (performance.now() < deadline && !signal.aborted) {
      const isOff = this.guestReport(desktopId)?.condition === 'shut-down' || !(await this.isAlive(desktopId));
      if (isOff) return true;
      await sleep(shutDownLookMs);
    }
    return false;
  }

  async release(desktopId: string, { byForce = false, seen }: ReleaseHow = {}): Promise<void> {
    await this.waiting.end(desktopId);
    const directory = this.directory(desktopId);
    const [qemu, pager] = await Promise.all([qemuOf(directory, seen), directory.liveProcess('pager')]);
    if (qemu !== null) await this.quit(directory, qemu, byForce ? 'qemuQuitForced' : 'qemuQuit');
    if (pager !== null) {
      await stopProcess(pager, { signal: byForce ? 'SIGKILL' : 'SIGTERM', patienceMs: limits.pagerEnd.ms });
    }
    await closeNetworks(directory);
    // Ended by us, or before we came: whoever is there by now has started it since.
    await qemuOf(directory, qemu === null ? seen : idOf(qemu));
    await directory.remove();
  }

  async seen(desktopId: string): Promise<MachineId | null> {
    const qemu = await this.directory(desktopId).liveProcess('qemu');
    return qemu && idOf(qemu);
  }

  async condition(desktopId: string): Promise<MachineCondition> {
    const directory = this.directory(desktopId);
    if ((await directory.liveProcess('qemu')) === null) return 'absent';
    // A main loop that itself waits for a page answers nothing, and when the pager is dead it never will.
    const patience = new AbortController();
    const deaf = sleep(deafAfterMs, 'waking' as const, { signal: patience.signal });
    deaf.catch(() => undefined); // called off below
    const answer = askCondition(directory);
    answer.catch(() => undefined); // too late to be of interest, once the patience is over
    try {
      return await Promise.race([answer, deaf]);
    } finally {
      patience.abort();
    }
  }

  follow(desktopId: string): void {
    this.guests.follow(this.directory(desktopId));
  }

  onGuestReport(listener: (report: GuestReport) => void): () => void {
    return this.guests.onReport(listener);
  }

  async rouse(desktopId: string): Promise<void> {
    await withQemu(this.directory(desktopId), rouse);
  }

  guestReport(desktopId: string): GuestReport | null {
    return this.guests.last(desktopId);
  }

  async isAlive(desktopId: string): Promise<boolean> {
    return (await this.directory(desktopId).liveProcess('qemu')) !== null;
  }

  async machines(): Promise<readonly string[]> {
    const names = await readdir(this.options.runRoot);
    const desktops = names.map(desktopOfSafeName).filter((id) => id !== null);
    const alive = await Promise.all(desktops.map((id) => this.isAlive(id)));
    return desktops.filter((_, index) => alive[index]);
  }

  async boundLogs(): Promise<void> {
    const { runRoot } = this.options;
    await boundLogs(runRoot);
    for (const entry of await readdir(runRoot, { withFileTypes: true })) {
      if (entry.isDirectory()) await boundLogs(join(runRoot, entry.name));
    }
  }

  discardGeneration(machine: Machine, generation: string): Promise<boolean> {
    return this.layers.removeUnwritten(machine.desktopId, machine.launchSpec, generation);
  }

  async forget(desktopId: string): Promise<void> {
    await this.release(desktopId);
    await this.layers.removeAll(desktopId);
    await this.known.forget(desktopId);
  }

  async close(): Promise<void> {
    this.guests.close();
    await this.known.close();
    this.pagers.close();
    this.resident.stop();
    this.starter.close();
    await this.waiting.endAll();
  }

  /** Null: QEMU runs as we do. */
  private user(): Promise<ProcessUser | null> {
    const { qemuUser = null } = this.options;
    this.qemuUser ??= qemuUser === null ? Promise.resolve(null) : readyUser(qemuUser, this.options);
    return this.qemuUser;
  }

  private async probeOnce(): Promise<HostCapabilities> {
    await mkdir(this.options.runRoot, { recursive: true, mode: 0o700 });
    const { qemu, accelerator, runRoot } = this.options;
    const user = await this.user();
    const found = await probeHost(qemu, accelerator, runRoot, user === null ? [] : asUser(user));
    await this.waiting.clearAway();
    this.resident.start(qemu);
    this.starter.prepare();
    this.pagers.prepare(); // once: each wake asks again what the host can do, and must not share its processors with another pager's start
    return found;
  }

  /** @throws MIGRATION_FAILED */
  private async untilRunning(desktopId: string, paused = false): Promise<void> {
    const deadline = performance.now() + limits.wakeLoads.ms;
    for (;;) {
      const condition = await this.condition(desktopId);
      if (condition === (paused ? 'stopped' : 'running')) return;
      if (condition === 'absent' || condition === 'shut-down' || performance.now() > deadline) {
        const said = await this.directory(desktopId).logTail('qemu.log');
        throw condition === 'absent'
          ? new DormouseError('MIGRATION_FAILED', `QEMU could not load the machine: ${said}`)
          : timedOut('wakeLoads', said);
      }
      await sleep(20);
    }
  }

  private served(
    machine: Machine,
    target: CheckpointTarget,
    pager: PagerClient<ServeStatus>,
    about: Pick<Wake, 'machine' | 'machineWaited'>,
  ): Wake {
    this.follow(machine.desktopId);
    const nextPager = (): ReturnType<typeof this.replacePager> => this.replacePager(machine, target);
    return new QemuWake(pager, nextPager, about);
  }

  /** @returns null when there is none, also when it ended before it could be spoken to */
  private async servingPager(desktopId: string): Promise<PagerClient<ServeStatus> | null> {
    const directory = this.directory(desktopId);
    const identity = await directory.liveProcess('pager');
    if (identity === null) return null;
    try {
      const alive = (): boolean => isProcessAlive(identity);
      const pager = await connectPager<ServeStatus>(directory, rejoinPatienceMs, alive, 'wakingPagerNews');
      await pager.reached('running', 'hydrated');
      return pager;
    } catch (error) {
      if (!isDormouseError(error, 'PAGER_FAILED')) throw error;
      if (await processEnded(identity, endingPatienceMs)) return null;
      if (error.details['waitedFor'] !== 'wakingPagerNews') throw error;
      return null; // it hangs, and is replaced
    }
  }

  /** The guest waits, with whatever it asked for, until another pager goes on. @returns null when it lacks no memory */
  private async replacePager(machine: Machine, target: CheckpointTarget): Promise<PagerClient<ServeStatus> | null> {
    const directory = this.directory(machine.desktopId);
    // QEMU listens for another only when it has lost the one it had.
    const silent = await directory.liveProcess('pager');
    if (silent !== null) await stopProcess(silent, { signal: 'SIGKILL' });
    try {
      await new RescueChannel(directory).listenAgain(directory.incomingUri);
    } catch (error) {
      // A pager that died after its last page and before it could say so: QEMU waits for nobody.
      if (isDormouseError(error, 'QMP_FAILED') && (await askCondition(directory)) === 'running') return null;
      throw error;
    }
    const pager = await this.startServing(machine, target, 'resume');
    await within('wakeRunning', pager.reached('running', 'hydrated'));
    return pager;
  }

  private async startServing(machine: Machine, target: CheckpointTarget, how: ServeJob['how']) {
    const manner = this.options.wakeManner ?? {};
    const job = { mode: 'serve', ...(await this.pagerJob(machine, target)), how, manner } as const;
    return this.pagers.start<ServeStatus>(this.directory(machine.desktopId), job);
  }

  private async pagerJob({ desktopId, launchSpec }: Machine, { operationId, checkpointId, keys }: CheckpointTarget) {
    const disks: DiskFiles = {
      images: await this.known.images(desktopId, launchSpec),
      layers: this.layers.directory(desktopId),
    };
    return { operationId, desktopId, checkpointId, keys: pagerKeys(keys), disks };
  }

  /** The directory of a machine that is about to start: of one that was there before nothing is left. */
  private async anew({ desktopId, seen }: Pick<Machine, 'desktopId' | 'seen'>): Promise<RunDirectory> {
    await this.release(desktopId, { seen });
    const directory = this.directory(desktopId);
    await directory.create(await this.user());
    return directory;
  }

  private directory(desktopId: string): RunDirectory {
    return new RunDirectory(this.options.runRoot, desktopId);
  }

  private async start(
    machine: Machine,
    directory: RunDirectory,
    how: Pick<LaunchPlacement, 'paused' | 'incoming' | 'rescue'>,
  ): Promise<StartedQemu> {
    const pipes = how.rescue === undefined ? [] : rescuePipeFiles;
    const placed = await this.placed(machine); // each time: a link may lead elsewhere by now
    const user = await this.user();
    const taps = await this.networks.open(directory, machine.launchSpec, user);
    if (user !== null) await this.layers.share(machine.desktopId, machine.launchSpec, machine.diskGeneration, user);
    const args = await this.arguments(placed, { ...how, taps });
    return startQemu(this.starter, directory, { program: this.options.qemu, args, pipes, user: user ?? undefined });
  }

  /** With the files of its spec by their real names. @throws LAUNCH_SPEC_FORBIDDEN */
  private async placed(machine: Machine): Promise<Machine> {
    return { ...machine, launchSpec: await this.places.check(machine.launchSpec) };
  }

  private async arguments(
    { desktopId, launchSpec, diskGeneration }: Machine,
    how: Pick<LaunchPlacement, 'paused' | 'incoming' | 'rescue' | 'taps'>,
  ): Promise<string[]> {
    const { accelerator } = await this.probe();
    const overlays = this.layers.files(desktopId, launchSpec, diskGeneration);
    const folder = (await this.user()) === null ? undefined : socketFolder;
    return launchArguments(launchSpec, { name: desktopId, accelerator, overlays, socketFolder: folder, ...how });
  }

  /** @throws WAKE_INTERRUPTED */
  private async checkUnwritten({ desktopId, launchSpec, diskGeneration }: Machine): Promise<void> {
    if (diskGeneration === null || !(await this.layers.isWritten(desktopId, launchSpec, diskGeneration))) return;
    throw new DormouseError(
      'WAKE_INTERRUPTED',
      `a guest has already written to the disk layer ${diskGeneration}; the memory of the checkpoint knows nothing of that`,
      { desktopId, diskGeneration },
    );
  }

  private async startForWake(
    machine: Machine,
    disks: readonly PlacedDisk[],
    sealedGeneration: string | null,
    { how, paused }: { how: WakeHow; paused: boolean | undefined },
  ): Promise<ProcessIdentity> {
    const { desktopId, diskGeneration } = machine;
    if (diskGeneration !== null) await this.layers.create(desktopId, disks, diskGeneration, sealedGeneration);
    return this.listenForMemory(machine, this.directory(desktopId), how, paused);
  }

  /** Starts QEMU so far that its memory can come. */
  private async listenForMemory(
    machine: Machine,
    directory: RunDirectory,
    how: WakeHow,
    paused = false,
  ): Promise<ProcessIdentity> {
    const rescue = new RescueChannel(directory);
    const { qmp, identity } = await this.start(machine, directory, toWake);
    try {
      await rescue.open();
      if (paused) await standStill(qmp);
      if (how === 'lazy') await qmp.execute('migrate-set-capabilities', { capabilities: lazily });
      // Asked together: what it is made of is answered while its memory is on the way.
      const listening = qmp.execute('migrate-incoming', { uri: directory.incomingUri });
      const [, parts] = await Promise.all([listening, machineParts(qmp)]);
      await directory.recordBuilt(parts);
      return identity;
    } catch (error) {
      await stopProcess(identity, { signal: 'SIGKILL' }); // nobody else knows that it is ours
      throw error;
    } finally {
      qmp.close();
    }
  }

  /**
   * Has the machine that waits for this wake, if there is one, move to where the desktop's machine belongs, with the layer it has
   * opened under its proper name. @returns null when there is none
   */
  private async takeWaiting(
    machine: Machine,
    disks: readonly PlacedDisk[],
    sealedGeneration: string | null,
  ): Promise<ProcessIdentity | null> {
    const { desktopId, launchSpec, diskGeneration, seen } = machine;
    const waiting = await this.waiting.take(desktopId, await this.blueprint(nextOn(machine, sealedGeneration)));
    if (waiting === null) return null;
    const directory = this.directory(desktopId);
    await this.release(desktopId, { seen });
    await directory.moveIn(waiting);
    if (diskGeneration !== null) await this.layers.create(desktopId, disks, diskGeneration, sealedGeneration);
    // Where the desktop woke somewhere else meanwhile, what was made ahead is that machine's, and it may be writing to it.
    const qemu = await directory.liveProcess('qemu');
    if (qemu === null) return null;
    if (await holdsOpen(qemu.pid, this.layers.files(desktopId, launchSpec, diskGeneration))) return qemu;
    await stopProcess(qemu, { signal: 'SIGKILL' });
    return null;
  }

  /** What a machine in waiting must have been started with. */
  private async blueprint(machine: Machine): Promise<string> {
    return JSON.stringify(await this.arguments(await this.placed(machine), toWake));
  }

  /** Ends QEMU in order, its disks flushed; by force when its main loop is deaf, which it is while it waits for a page. */
  private async quit(
    directory: RunDirectory,
    qemu: ProcessIdentity,
    limit: 'qemuQuit' | 'qemuQuitForced',
  ): Promise<void> {
    withQemu(directory, (qmp) => qmp.execute('quit', {}, limit), qemu).catch(() => undefined); // answered by ending, or by force below
    if (!(await processEnded(qemu, limits[limit].ms))) await stopProcess(qemu, { signal: 'SIGKILL' });
  }
}

function idOf({ pid, startTicks }: ProcessIdentity): MachineId {
  return `${pid}/${startTicks}`;
}

/** @throws SUPERSEDED when another one runs than was seen */
async function qemuOf(directory: RunDirectory, seen: MachineId | null | undefined): Promise<ProcessIdentity | null> {
  const qemu = await directory.liveProcess('qemu');
  if (seen === undefined || qemu === null || idOf(qemu) === seen) return qemu;
  const { desktopId } = directory;
  throw new DormouseError('SUPERSEDED', `another machine of ${desktopId} runs by now: it is not ours to change`, {
    desktopId,
  });
}

/** Has a guest run that a save could not thaw: nobody could reach its QEMU then, or nobody was left. */
async function runsOn(qmp: QmpClient): Promise<void> {
  const { status } = await qmp.execute<{ status?: string }>('query-migrate');
  const { status: state } = await qmp.execute<{ status: string }>('query-status');
  if (isMigrating(status) || state === 'postmigrate' || state === 'finish-migrate') await thawMachine(qmp);
}

/** The machine that a wake from `sealedGeneration` would build if it began now. */
function nextOn(machine: Machine, sealedGeneration: string | null): Machine {
  return { ...machine, diskGeneration: sealedGeneration && preparedOn(sealedGeneration) };
}

function pagerKeys({ keyId, dataKey, contentKey }: CheckpointKeys): PagerKeys {
  return { keyId, dataKey: dataKey.toString('base64'), contentKey: contentKey.toString('base64') };
}

function askCondition(directory: RunDirectory): Promise<MachineCondition> {
  return withQemu(directory, async (qmp) => {
    const { status, running } = await qmp.execute<{ status: string; running: boolean }>('query-status');
    if (status === 'shutdown') return 'shut-down';
    const { status: migration } = await qmp.execute<{ status?: string }>('query-migrate');
    if (migration?.startsWith('postcopy-') === true) return 'waking';
    if (status === 'inmigrate') return 'waking';
    return running ? 'running' : 'stopped';
  });
}

/** Of a machine that waits for its memory: its guest does not run once it is there. */
async function standStill(qmp: QmpClient): Promise<void> {
  await qmp.execute('stop');
}

/** @throws MACHINE_CHANGED, saying what differs and what to do */
async function checkUnchanged(qmp: QmpClient, built: MachineParts | null, host: HostCapabilities): Promise<void> {
  const now = await machineParts(qmp);
  const jobs = jobsInTheWay(now);
  // A job brings nodes of its own: they go with it.
  const differences = [
    ...(jobs.length > 0 || built === null ? jobs : machineDifferences(built, now)),
    ...(losesWrites(host) ? lossyMainMemory(now) : []),
  ];
  if (differences.length === 0) return;
  const message = `the machine could not be woken as it is now, so it is not saved: ${differences.join('; ')}`;
  throw new DormouseError('MACHINE_CHANGED', message, { differences });
}

/** @throws DESKTOP_NOT_MIGRATABLE with all that is in the way */
async function checkMigratable(qmp: QmpClient, launchSpec: LaunchSpec, host: HostCapabilities): Promise<void> {
  const expected = {
    memoryBytes: memoryKiB(launchSpec, host.accelerator) * 1024,
    processors: launchSpec.cpus,
    losesWrites: losesWrites(host),
  };
  const reasons = sleepObstacles(await machineParts(qmp), expected);
  if (reasons.length > 0) throw new DormouseError('DESKTOP_NOT_MIGRATABLE', reasons.join('; '), { reasons });
}

/** Rejects when the pager fails; never resolves. */
async function pagerFails(started: Promise<PagerClient<ServeStatus>>): Promise<never> {
  const pager = await started;
  await pager.reached('loading', 'running');
  return new Promise<never>(() => undefined);
}
