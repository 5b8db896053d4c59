import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A machine as its host holds it; it outlives the worker, as QEMU does. */
export interface SimulatedMachine {
  readonly id: string;
  readonly condition: 'running' | 'stopped' | 'waking';
  /** Names what is in its memory: a new name whenever the guest has begun to run. */
  readonly memory: string;
  /** When its guest answers after a boot, by `machineTimeMs`. */
  readonly answersAtMs: number;
  /** When the last page of its memory is there, by `machineTimeMs`. */
  readonly wholeAtMs: number;
}

export interface SimulatedCheckpoint {
  readonly memory: string;
}

/** A host by its id, or the storage of all. */
export type FullDisk = string;
export const storageDisk: FullDisk = 'storage';

/** Milliseconds by a clock that all processes of this computer have in common, and that nobody can set. */
export function machineTimeMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** Has a disk of the simulated world run full, or have room again. */
export async function fillDisk(root: string, disk: FullDisk, isFull: boolean): Promise<void> {
  const directory = join(root, 'full');
  await mkdir(directory, { recursive: true });
  if (isFull) await writeFile(join(directory, disk), '');
  else await rm(join(directory, disk), { force: true });
}

/** Of a file that is whole: a draft's name ends with something else. */
const suffix = '.json';

/** All that outlives a worker, in files that appear whole. */
export class SimulatedFiles {
  constructor(
    /** Common to all hosts. */
    private readonly root: string,
    private readonly hostId: string,
  ) {}

  machine(desktopId: string): Promise<SimulatedMachine | null> {
    return read(this.machineFile(desktopId));
  }

  /** @returns whether it could be: not where another one of the same desktop is */
  async startMachine(desktopId: string, machine: SimulatedMachine): Promise<boolean> {
    const file = this.machineFile(desktopId);
    const draft = await writeDraft(file, machine);
    try {
      await link(draft, file);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      await rm(draft, { force: true });
    }
  }

  /** @returns it as it is then; null when it has ended: whoever was stopped meanwhile does not reach the one in its place */
  async changeMachine(
    desktopId: string,
    id: string,
    change: Partial<SimulatedMachine>,
  ): Promise<SimulatedMachine | null> {
    const machine = await this.machine(desktopId);
    if (machine?.id !== id) return null;
    const changed = { ...machine, ...change };
    await write(this.machineFile(desktopId), changed);
    return changed;
  }

  async machines(): Promise<string[]> {
    return wholeIn(this.machinesOf(this.hostId));
  }

  /** @param id of the machine; left out: whichever there is */
  async removeMachine(desktopId: string, id?: string): Promise<void> {
    if (id !== undefined && (await this.machine(desktopId))?.id !== id) return;
    await rm(this.machineFile(desktopId), { force: true });
  }

  /** Whether a disk has no room: a host's, or the one that all checkpoints lie on. */
  async isFull(disk: FullDisk): Promise<boolean> {
    return (await readdir(join(this.root, 'full')).catch(absent))?.includes(disk) ?? false;
  }

  /** The other hosts on which this desktop has a machine. */
  async elsewhere(desktopId: string): Promise<string[]> {
    const hosts = (await readdir(join(this.root, 'machines')).catch(absent)) ?? [];
    const others = hosts.filter((host) => host !== this.hostId);
    const found = await Promise.all(others.map((host) => read(this.machineFile(desktopId, host))));
    return others.filter((_, index) => found[index] !== null);
  }

  checkpoint(desktopId: string, checkpointId: string): Promise<SimulatedCheckpoint | null> {
    return read(this.checkpointFile(desktopId, checkpointId));
  }

  writeCheckpoint(desktopId: string, checkpointId: string, checkpoint: SimulatedCheckpoint): Promise<void> {
    return write(this.checkpointFile(desktopId, checkpointId), checkpoint);
  }

  async hasMemory(desktopId: string, memory: string): Promise<boolean> {
    const ids = await wholeIn(this.checkpointsOf(desktopId));
    const all = await Promise.all(ids.map((id) => this.checkpoint(desktopId, id)));
    return all.some((one) => one?.memory === memory);
  }

  async removeCheckpoints(desktopId: string): Promise<void> {
    await rm(this.checkpointsOf(desktopId), { recursive: true, force: true });
  }

  private machinesOf(hostId: string): string {
    return join(this.root, 'machines', hostId);
  }

  private machineFile(desktopId: string, hostId = this.hostId): string {
    return join(this.machinesOf(hostId), `${desktopId}${suffix}`);
  }

  private checkpointsOf(desktopId: string): string {
    return join(this.root, 'checkpoints', desktopId);
  }

  private checkpointFile(desktopId: string, checkpointId: string): string {
    return join(this.checkpointsOf(desktopId), `${checkpointId}${suffix}`);
  }
}

/** Whose files are there, whole: a worker that was killed may have left the draft of another, cut off. */
async function wholeIn(directory: string): Promise<string[]> {
  const names = (await readdir(directory).catch(absent)) ?? [];
  return names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length));
}

async function read<T>(file: string): Promise<T | null> {
  const text = await readFile(file, 'utf8').catch(absent);
  return text === null ? null : (JSON.parse(text) as T);
}

async function write(file: string, value: object): Promise<void> {
  await rename(await writeDraft(file, value), file);
}

async function writeDraft(file: string, value: object): Promise<string> {
  const draft = `${file}.${randomUUID()}.new`;
  await mkdir(dirname(file), { recursive: true });
  await writeFile(draft, JSON.stringify(value));
  return draft;
}

function absent(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
}
