import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { identifyProcess, stopProcess, type ProcessUser } from '@dormouse/process';
import { closeNetworks } from './guest-networks';
import { unlessGone } from './layers/survey-layers';
import { RunDirectory } from './run-directory';

interface WaitingMachine {
  readonly directory: RunDirectory;
  /** What QEMU was started with. */
  readonly blueprint: string;
}

/**
 * Machines of sleeping desktops whose QEMU has been started and listens for their memory, of which it has none yet: a wake need not
 * wait for the start. Each has a run directory of its own and moves into the desktop's when it is taken. The machine that has
 * waited longest makes room for the next. They end with us; those of a worker that was killed its successor ends.
 */
export class MachinesInWaiting {
  private readonly root: string;
  private readonly waiting = new Map<string, WaitingMachine>();

  /** @param most how many there may be */
  constructor(
    runRoot: string,
    private readonly most: number,
  ) {
    this.root = join(runRoot, '.waiting');
  }

  /** Ends what those who are gone have left. */
  async clearAway(): Promise<void> {
    for (const name of (await unlessGone(readdir(this.root))) ?? []) {
      const directory = new RunDirectory(this.root, name);
      if ((await directory.liveProcess('owner')) === null) await end(directory);
    }
  }

  /**
   * Has a machine wait, instead of one that waited for this desktop before.
   * @param user QEMU's, if it has one of its own
   * @param start starts QEMU in the directory, and rejects when it cannot
   */
  async add(
    desktopId: string,
    blueprint: string,
    user: ProcessUser | null,
    start: (directory: RunDirectory) => Promise<unknown>,
  ): Promise<void> {
    if (this.most === 0) return;
    while (this.waiting.size >= this.most) await this.end(this.waiting.keys().next().value!);
    const directory = new RunDirectory(this.root, randomUUID());
    await directory.create(user);
    try {
      await directory.recordProcess('owner', identifyProcess(process.pid)!);
      await start(directory);
    } catch (error) {
      await end(directory);
      throw error;
    }
    await this.end(desktopId);
    this.waiting.set(desktopId, { directory, blueprint });
  }

  /** The directory of a machine that was built so and waits for this desktop; its owner is the caller from now on. */
  async take(desktopId: string, blueprint: string): Promise<RunDirectory | null> {
    const machine = this.waiting.get(desktopId);
    if (machine?.blueprint !== blueprint || (await machine.directory.liveProcess('qemu')) === null) return null;
    this.waiting.delete(desktopId);
    return machine.directory;
  }

  desktops(): readonly string[] {
    return [...this.waiting.keys()];
  }

  async end(desktopId: string): Promise<void> {
    const machine = this.waiting.get(desktopId);
    this.waiting.delete(desktopId);
    if (machine !== undefined) await end(machine.directory);
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.waiting.keys()].map((desktopId) => this.end(desktopId)));
  }
}

/** By force: a machine without memory has nothing to lose. */
async function end(directory: RunDirectory): Promise<void> {
  const qemu = await directory.liveProcess('qemu');
  if (qemu !== null) await stopProcess(qemu, { signal: 'SIGKILL' });
  await closeNetworks(directory);
  await directory.remove();
}
