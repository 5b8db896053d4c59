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
import { failures, jitter, latenciesMs, writesTo, type Step } from './latencies';
import { SimulatedCapture } from './simulated-capture';
import { machineTimeMs, SimulatedFiles, storageDisk, type SimulatedMachine } from './simulated-files';
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
    const answersAtMs = machineTimeMs() + this.durationMs('answer', machine.launchSpec.memoryMiB);
    const booted: SimulatedMachine = { ...newMachine(), condition: 'running', answersAtMs };
    await this.start(machine.desktopId, booted);
    return booted.id;
  }

  async awaitGuest({ desktopId }: Machine, patienceMs: number, signal: AbortSignal): Promise<void> {
    const machine = await this.files.machine(desktopId);
    const waitMs = Math.max(0, (machine?.answersAtMs ?? Infinity) - machineTimeMs());
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
    const frozen = await this.change(desktopId, running.id, { condition: 'stopped' });
    return new SimulatedCapture({
      ramBytes,
      streamBytes,
      switchOver: (signal) => this.take('switchOver', machine, signal),
      commit: async (signal) => {
        await this.take('commit', machine, signal);
        await this.files.writeCheckpoint(desktopId, checkpointId, { memory: frozen.memory });
      },
      thaw: () => this.thaw(desktopId),
      conclude: async () => {
        const now = await this.files.machine(desktopId);
        if (now?.condition !== 'stopped' || now.memory !== frozen.memory) {
          throw new DormouseError('FREEZE_TOO_LONG', 'somebody has let the guest run', { desktopId });
        }
      },
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
    const wholeAtMs = machineTimeMs() + this.durationMs('hydrate', launchSpec.memoryMiB);
    const awake: SimulatedMachine = { ...newMachine(), condition: 'waking', wholeAtMs };
    await this.start(desktopId, awake);
    return this.wakeOf(machine, awake);
  }

  async rejoinWake(machine: Machine, _target: CheckpointTarget): Promise<Wake | null> {
    const waking = await this.machineOf(machine.desktopId, machine.seen);
    if (waking?.condition === 'waking' && waking.wholeAtMs > machineTimeMs()) return this.wakeOf(machine, waking);
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

  prepared(): readonly string[] {
    return [];
  }

  async unprepare(): Promise<void> {}

  async pauseUnlessWritten(desktopId: string, seen?: MachineId | null): Promise<boolean> {
    if ((await this.machineOf(desktopId, seen)) === null) throw gone(desktopId);
    return false; // these machines always write
  }

  async thaw(desktopId: string, seen?: MachineId | null): Promise<void> {
    const machine = await this.machineOf(desktopId, seen);
    if (machine === null) throw gone(desktopId);
    if (machine.condition !== 'stopped') return;
    await this.pass('thaw', 0);
    await this.change(desktopId, machine.id, { condition: 'running', memory: randomUUID() });
  }

  async shutDown({ desktopId, seen }: Machine): Promise<boolean> {
    const machine = await this.machineOf(desktopId, seen);
    if (machine?.condition === 'stopped') return false;
    if (machine !== null) await this.files.removeMachine(desktopId, machine.id);
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
    await this.files.removeMachine(desktopId, machine.id);
  }

  async seen(desktopId: string): Promise<MachineId | null> {
    return (await this.files.machine(desktopId))?.id ?? null;
  }

  async condition(desktopId: string): Promise<MachineCondition> {
    const machine = await this.files.machine(desktopId);
    if (machine === null) return 'absent';
    return machine.condition === 'waking' && machine.wholeAtMs <= machineTimeMs() ? 'running' : machine.condition;
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

  private wakeOf(machine: Machine, awake: SimulatedMachine): Wake {
    const { desktopId, launchSpec } = machine;
    return new SimulatedWake({
      machine: awake.id,
      wholeAtMs: awake.wholeAtMs,
      totalPages: launchSpec.memoryMiB * 256,
      whole: async () => {
        if (this.options.fails('hydrate', desktopId)) throw failed('hydrate', desktopId);
        await this.change(desktopId, awake.id, { condition: 'running' });
      },
    });
  }

  private async start(desktopId: string, machine: SimulatedMachine): Promise<void> {
    if (!(await this.files.startMachine(desktopId, machine))) {
      throw new DormouseError('MACHINE_START_FAILED', 'another machine of the desktop is there', { desktopId });
    }
    // After it is there: of two hosts that start it at the same moment at least one sees the other.
    for (const host of await this.files.elsewhere(desktopId)) {
      await recordViolation(this.options.root, `${desktopId} runs on ${this.options.hostId} and on ${host}`);
    }
  }

  /** @throws MACHINE_GONE when it has ended since it was looked at */
  private async change(
    desktopId: string,
    id: string,
    change: Pick<SimulatedMachine, 'condition'> & { readonly memory?: string },
  ): Promise<SimulatedMachine> {
    return (await this.files.changeMachine(desktopId, id, change)) ?? Promise.reject(gone(desktopId));
  }

  private async take(
    step: Step,
    machine: Pick<Machine, 'desktopId' | 'launchSpec'>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { desktopId, launchSpec } = machine;
    await this.pass(step, launchSpec.memoryMiB, signal);
    const disk = writesTo[step] === 'host' ? this.options.hostId : storageDisk;
    if (step in writesTo && (await this.files.isFull(disk))) {
      throw new DormouseError('STORAGE_FULL', `no space left in the ${step}`, { desktopId });
    }
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

function newMachine(): Omit<SimulatedMachine, 'condition'> {
  return { id: randomUUID(), memory: randomUUID(), answersAtMs: 0, wholeAtMs: 0 };
}

function failed(step: Step, desktopId: string): DormouseError {
  return new DormouseError(failures[step] ?? 'INTERNAL', `the ${step} was to fail`, { desktopId });
}

function gone(desktopId: string): DormouseError {
  return new DormouseError('MACHINE_GONE', 'the machine is no longer there', { desktopId });
}
