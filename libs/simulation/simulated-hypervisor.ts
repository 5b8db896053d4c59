import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type {
  Capture,
  CaptureBase,
  CaptureProgress,
  CheckpointTarget,
  Fingerprint,
  Hypervisor,
  Machine,
  MachineCondition,
  MachineId,
  ReleaseHow,
  Wake,
} from '@dormouse/hypervisor';
import type { HostCapabilities, LaunchSpec } from '@dormouse/qemu';
import { failures, jitter, latenciesMs, type Step } from './latencies';
import { SimulatedCapture } from './simulated-capture';
import { SimulatedFiles, type SimulatedMachine } from './simulated-files';
import { SimulatedWake } from './simulated-wake';
import { recordViolation } from './violations';

export interface SimulationOptions {
  /** A directory that all simulated hosts share: it is the world, machines and storage. */
  readonly root: string;
  readonly hostId: string;
  readonly memoryMiB: number;
  /** So many times faster than `latenciesMs`. */
  readonly speed: number;
  /** Whether this step of this desktop is to fail. */
  readonly fails: (step: Step, desktopId: string) => boolean;
}

const bytesPerMiB = 2 ** 20;

/** The driver port on files and timers. Like the one on QEMU it keeps nothing in memory that a restart would lose. */
export class SimulatedHypervisor implements Hypervisor {
  private readonly files: SimulatedFiles;

  constructor(private readonly options: SimulationOptions) {
    this.files = new SimulatedFiles(options.root, options.hostId);
  }

  async probe(): Promise<HostCapabilities> {
    return { qemu: 'simulated', qemuVersion: 'simulated', accelerator: 'kvm', memoryMiB: this.options.memoryMiB };
  }

  async examine({ desktopId, launchSpec }: Pick<Machine, 'desktopId' | 'launchSpec'>): Promise<Fingerprint> {
    await this.take('examine', { desktopId, launchSpec });
    return this.fingerprint(launchSpec);
  }

  async fingerprint({ machine, cpuModel, memoryMiB, cpus }: LaunchSpec): Promise<Fingerprint> {
    return { qemuVersion: 'simulated', accelerator: 'kvm', machine, cpuModel, memoryMiB, cpus };
  }

  async boot(machine: Machine, _parent: string | null): Promise<MachineId> {
    await this.release(machine.desktopId, machine);
    await this.take('boot', machine);
    const answersAtMs = Date.now() + this.durationMs('answer', machine.launchSpec.memoryMiB);
    const id = randomUUID();
    await this.start(machine.desktopId, { id, condition: 'running', memory: randomUUID(), answersAtMs, wholeAtMs: 0 });
    return id;
  }

  async awaitGuest({ desktopId }: Machine, patienceMs: number, signal: AbortSignal): Promise<void> {
    const machine = await this.files.machine(desktopId);
    const waitMs = Math.max(0, (machine?.answersAtMs ?? Infinity) - Date.now());
    const silent = new DormouseError('GUEST_UNRESPONSIVE', 'the guest does not answer', { desktopId });
    await sleep(Math.min(waitMs, patienceMs), undefined, { signal }).catch(() => Promise.reject(silent));
    if (waitMs > patienceMs) throw silent;
  }

  async capture(
    machine: Machine,
    { checkpointId }: CheckpointTarget,
    { signal, onProgress }: CaptureBase & { signal: AbortSignal; onProgress: (progress: CaptureProgress) => void },
  ): Promise<Capture> {
    const { desktopId } = machine;
    const running = await this.machineOf(desktopId, machine.seen);
    if (running === null) throw gone(desktopId);
    await this.take('capture', machine, signal);
    const ramBytes = machine.launchSpec.memoryMiB * bytesPerMiB;
    const streamBytes = Math.round(ramBytes / 6);
    onProgress({ ramBytes, streamBytes, arrivedBytes: ramBytes });
    await this.files.writeMachine(desktopId, { ...running, condition: 'stopped' });
    return new SimulatedCapture({
      ramBytes,
      streamBytes,
      switchOver: (signal) => this.take('switchOver', machine, signal),
      commit: async (signal) => {
        await this.take('commit', machine, signal);
        await this.files.writeCheckpoint(desktopId, checkpointId, { memory: running.memory });
      },
      thaw: () => this.thaw(desktopId),
    });
  }

  async wake(machine: Machine, { checkpointId }: CheckpointTarget, _sealed: string | null): Promise<Wake> {
    const { desktopId, launchSpec } = machine;
    await this.release(desktopId, machine);
    const checkpoint = await this.files.checkpoint(desktopId, checkpointId);
    if (checkpoint === null) {
      throw new DormouseError('CHECKPOINT_UNKNOWN', `no checkpoint ${checkpointId} is stored`, {
        desktopId,
        checkpointId,
      });
    }
    await this.take('wake', machine);
    const wholeAtMs = Date.now() + this.durationMs('hydrate', launchSpec.memoryMiB);
    const memory = randomUUID();
    const awake: SimulatedMachine = { id: randomUUID(), condition: 'waking', memory, answersAtMs: 0, wholeAtMs };
    await this.start(desktopId, awake);
    return this.wakeOf(machine, awake);
  }

  async rejoinWake(machine: Machine, _target: CheckpointTarget): Promise<Wake | null> {
    const waking = await this.machineOf(machine.desktopId, machine.seen);
    if (waking?.condition === 'waking' && waking.wholeAtMs > Date.now()) return this.wakeOf(machine, waking);
    if (waking === null) throw gone(machine.desktopId);
    return null;
  }

  async greet(machine: Machine, _patienceMs: number, signal: AbortSignal): Promise<number | null> {
    await this.take('ready', machine, signal);
    return null;
  }

  async prepareWake(): Promise<void> {
    // Nothing is ever made ahead: there are no disks.
  }

  async pauseUnlessWritten(desktopId: string, seen?: MachineId | null): Promise<boolean> {
    if ((await this.machineOf(desktopId, seen)) === null) throw gone(desktopId);
    return false; // these machines always write
  }

  async thaw(desktopId: string, seen?: MachineId | null): Promise<void> {
    const machine = await this.machineOf(desktopId, seen);
    if (machine === null) throw gone(desktopId);
    if (machine.condition !== 'stopped') return;
    await this.pass('thaw', 0);
    await this.files.writeMachine(desktopId, { ...machine, condition: 'running', memory: randomUUID() });
  }

  async shutDown({ desktopId, seen }: Machine): Promise<boolean> {
    const machine = await this.machineOf(desktopId, seen);
    if (machine?.condition === 'stopped') return false;
    await this.files.removeMachine(desktopId);
    return true;
  }

  async release(desktopId: string, { seen }: ReleaseHow = {}): Promise<void> {
    const machine = await this.machineOf(desktopId, seen);
    if (machine === null) return;
    await this.pass('release', 0);
    // Frozen by a save: what is in its memory is nowhere else, unless the save has stored it.
    if (machine.condition === 'stopped' && !(await this.files.hasMemory(desktopId, machine.memory))) {
      await recordViolation(
        this.options.root,
        `${desktopId} on ${this.options.hostId}: memory let go that is not stored`,
      );
    }
    await this.files.removeMachine(desktopId);
  }

  async seen(desktopId: string): Promise<MachineId | null> {
    return (await this.files.machine(desktopId))?.id ?? null;
  }

  async condition(desktopId: string): Promise<MachineCondition> {
    const machine = await this.files.machine(desktopId);
    if (machine === null) return 'absent';
    return machine.condition === 'waking' && machine.wholeAtMs <= Date.now() ? 'running' : machine.condition;
  }

  async isAlive(desktopId: string): Promise<boolean> {
    return (await this.files.machine(desktopId)) !== null;
  }

  machines(): Promise<readonly string[]> {
    return this.files.machines();
  }

  follow(): void {
    // These guests have nothing to say.
  }

  onGuestReport(): () => void {
    return () => undefined;
  }

  async rouse(): Promise<void> {
    // None of them ever stands still by itself.
  }

  guestReport(): null {
    return null;
  }

  boundLogs(): Promise<void> {
    return Promise.resolve(); // nobody writes any
  }

  async discardGeneration(): Promise<boolean> {
    return true; // there are no disks
  }

  async forget(desktopId: string): Promise<void> {
    await this.files.removeMachine(desktopId);
    await this.files.removeCheckpoints(desktopId);
  }

  async close(): Promise<void> {
    // Nothing is kept ready.
  }

  /** @throws SUPERSEDED when another one runs than was seen */
  private async machineOf(desktopId: string, seen: MachineId | null | undefined): Promise<SimulatedMachine | null> {
    const machine = await this.files.machine(desktopId);
    if (seen === undefined || machine === null || machine.id === seen) return machine;
    throw new DormouseError('SUPERSEDED', `another machine of ${desktopId} runs by now`, { desktopId });
  }

  private wakeOf(machine: Machine, { id, wholeAtMs }: SimulatedMachine): Wake {
    const { desktopId, launchSpec } = machine;
    return new SimulatedWake({
      machine: id,
      wholeAtMs,
      totalPages: launchSpec.memoryMiB * 256,
      whole: async () => {
        if (this.options.fails('hydrate', desktopId)) throw failed('hydrate', desktopId);
        const machineNow = await this.files.machine(desktopId);
        if (machineNow === null) throw gone(desktopId);
        await this.files.writeMachine(desktopId, { ...machineNow, condition: 'running' });
      },
    });
  }

  private async start(desktopId: string, machine: SimulatedMachine): Promise<void> {
    await this.files.writeMachine(desktopId, machine);
    // After it is there: of two hosts that start it at the same moment at least one sees the other.
    for (const host of await this.files.elsewhere(desktopId)) {
      await recordViolation(this.options.root, `${desktopId} runs on ${this.options.hostId} and on ${host}`);
    }
  }

  private async take(
    step: Step,
    machine: Pick<Machine, 'desktopId' | 'launchSpec'>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { desktopId, launchSpec } = machine;
    await this.pass(step, launchSpec.memoryMiB, signal);
    if (this.options.fails(step, desktopId)) throw failed(step, desktopId);
  }

  private async pass(step: Step, memoryMiB: number, signal?: AbortSignal): Promise<void> {
    try {
      await sleep(this.durationMs(step, memoryMiB), undefined, signal && { signal });
    } catch (cause) {
      throw new DormouseError('CANCELLED', `the ${step} was called off`, {}, { cause });
    }
  }

  private durationMs(step: Step, memoryMiB: number): number {
    const factor = 1 - jitter + 2 * jitter * Math.random();
    return (latenciesMs[step](memoryMiB) * factor) / this.options.speed;
  }
}

function failed(step: Step, desktopId: string): DormouseError {
  return new DormouseError(failures[step] ?? 'INTERNAL', `the ${step} was to fail`, { desktopId });
}

function gone(desktopId: string): DormouseError {
  return new DormouseError('MACHINE_GONE', 'the machine is no longer there', { desktopId });
}
