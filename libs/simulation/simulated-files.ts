import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A machine as its host holds it; it outlives the worker, as QEMU does. */
export interface SimulatedMachine {
  readonly id: string;
  readonly condition: 'running' | 'stopped' | 'waking';
  /** Names what is in its memory: a new name whenever the guest has begun to run. */
  readonly memory: string;
  /** When its guest answers after a boot; epoch ms. */
  readonly answersAtMs: number;
  /** When the last page of its memory is there; epoch ms. */
  readonly wholeAtMs: number;
}

export interface SimulatedCheckpoint {
  readonly memory: string;
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

  writeMachine(desktopId: string, machine: SimulatedMachine): Promise<void> {
    return write(this.machineFile(desktopId), machine);
  }

  async machines(): Promise<string[]> {
    return wholeIn(this.machinesOf(this.hostId));
  }

  async removeMachine(desktopId: string): Promise<void> {
    await rm(this.machineFile(desktopId), { force: true });
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
  const draft = `${file}.${randomUUID()}.new`;
  await mkdir(dirname(file), { recursive: true });
  await writeFile(draft, JSON.stringify(value));
  await rename(draft, file);
}

function absent(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
}
