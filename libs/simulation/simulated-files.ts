import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A machine as its host holds it; it outlives the worker, as QEMU does. */
export interface SimulatedMachine {
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
    return (await wholeIn(this.machinesOf(this.hostId))).map((name) => name.slice(0, -suffix.length));
  }

  async removeMachine(desktopId: string): Promise<void> {
    await rm(this.machineFile(desktopId), { force: true });
  }

  /** The other hosts on which this desktop has a machine. */
  async elsewhere(desktopId: string): Promise<string[]> {
    const hosts = (await readdir(join(this.root, 'machines')).catch(absent)) ?? [];
    const others = hosts.filter((host) => host !== this.hostId);
    const found = await Promise.all(others.map((host) => read(join(this.machinesOf(host), `${desktopId}.json`))));
    return others.filter((_, index) => found[index] !== null);
  }

  checkpoint(desktopId: string, checkpointId: string): Promise<SimulatedCheckpoint | null> {
    return read(this.checkpointFile(desktopId, checkpointId));
  }

  writeCheckpoint(desktopId: string, checkpointId: string, checkpoint: SimulatedCheckpoint): Promise<void> {
    return write(this.checkpointFile(desktopId, checkpointId), checkpoint);
  }

  async hasMemory(desktopId: string, memory: string): Promise<boolean> {
    const directory = join(this.root, 'checkpoints', desktopId);
    const names = await wholeIn(directory);
    const all = await Promise.all(names.map((name) => read<SimulatedCheckpoint>(join(directory, name))));
    return all.some((one) => one?.memory === memory);
  }

  async removeCheckpoints(desktopId: string): Promise<void> {
    await rm(join(this.root, 'checkpoints', desktopId), { recursive: true, force: true });
  }

  private machinesOf(hostId: string): string {
    return join(this.root, 'machines', hostId);
  }

  private machineFile(desktopId: string): string {
    return join(this.machinesOf(this.hostId), `${desktopId}.json`);
  }

  private checkpointFile(desktopId: string, checkpointId: string): string {
    return join(this.root, 'checkpoints', desktopId, `${checkpointId}.json`);
  }
}

const suffix = '.json';

/** What is there by its final name: a worker that was killed may have left the draft of another, cut off. */
async function wholeIn(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(absent);
  return (names ?? []).filter((name) => name.endsWith(suffix));
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
