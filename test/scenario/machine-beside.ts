import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { loadConfig } from '@dormouse/config';
import { RunDirectory } from '@dormouse/hypervisor';
import { ProgramStarter, stopProcess } from '@dormouse/process';
import { launchArguments, parseLaunchSpec, sandboxArguments, socketNames, type Accelerator } from '@dormouse/qemu';
import type { JsonObject } from '@dormouse/session';
import { GuestClient } from '../guest';

const startPatienceMs = 60_000;

/** A machine that Dormouse knows nothing of. */
export interface MachineBeside {
  /** A directory of its own, made if need be. */
  readonly scratch: string;
  readonly launchSpec: JsonObject;
  readonly accelerator: Accelerator;
  /** What it writes to lies in throw-away layers on these, one for each writable disk. */
  readonly disks: readonly string[];
  /** Left out, the one that Dormouse runs desktops on. */
  readonly qemu?: string;
  /** Where its memory comes from, as QEMU's `-incoming` has it; left out, it boots. */
  readonly incoming?: string;
  /** The guest is not to run. */
  readonly paused?: boolean;
  /** Done when all but QEMU is there. */
  readonly beforeStart?: () => Promise<void>;
}

/** The machine while it runs. */
export interface RunningBeside {
  readonly directory: RunDirectory;
  /** A line to the probe inside the guest, as soon as the machine is there. */
  readonly guest: () => Promise<GuestClient>;
  /** Milliseconds since QEMU was started. */
  readonly sinceMs: () => number;
}

/** Starts the machine, and ends it when the work is done. */
export async function besideDormouse<T>(
  { scratch, launchSpec, accelerator, disks, qemu: program, incoming, paused = false, beforeStart }: MachineBeside,
  work: (running: RunningBeside) => Promise<T>,
): Promise<T> {
  await mkdir(scratch, { recursive: true });
  const directory = new RunDirectory(scratch, 'beside');
  await directory.create();
  const overlays = disks.map((_, disk) => join(directory.path, `${disk}.qcow2`));
  for (const [disk, backing] of disks.entries()) {
    const format = backing.endsWith('.qcow2') ? 'qcow2' : 'raw';
    await promisify(execFile)('qemu-img', [
      ...['create', '-q', '-f', 'qcow2', '-b', backing, '-F', format],
      overlays[disk]!,
    ]);
  }
  const placement = { name: 'beside', accelerator, overlays, paused, ...(incoming !== undefined && { incoming }) };
  // QEMU by itself reads its memory through `cat`, which a sandbox would forbid.
  const args = launchArguments(parseLaunchSpec(launchSpec), placement).filter((one) => !sandboxArguments.includes(one));
  await beforeStart?.();
  const startedMs = performance.now();
  const logFile = directory.file('qemu.log');
  const starter = new ProgramStarter();
  const qemu = await starter.start({
    program: program ?? loadConfig(process.env).qemuBinary,
    args,
    cwd: directory.path,
    logFile,
  });
  try {
    return await work({
      directory,
      guest: () => soon(() => GuestClient.connect(directory.file(socketNames.probe))),
      sinceMs: () => performance.now() - startedMs,
    });
  } finally {
    starter.close();
    await stopProcess(qemu, { signal: 'SIGKILL' });
    await rm(directory.path, { recursive: true, force: true });
  }
}

/** Tries again until it is there. @throws what it failed with last */
export async function soon<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + startPatienceMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(2);
    }
  }
}
