import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { RunDirectory } from '@dormouse/hypervisor';
import { spawnDetached, stopProcess } from '@dormouse/process';
import { launchArguments, parseLaunchSpec, socketNames, type Accelerator } from '@dormouse/qemu';
import type { JsonObject } from '@dormouse/session';
import { GuestClient } from '../guest';
import type { OwnStream } from '../scenario';
import { through, type Link } from './throttle';

/** From the start to the answers of the guest, in milliseconds. */
export interface Answered {
  /** To a question that needs nothing but a shell. */
  readonly pingMs: number;
  /** To what windows there are. */
  readonly answeredMs: number;
}

/** A machine beside the desktop's own, on a throw-away layer over `disk`. */
interface Machine {
  readonly scratch: string;
  readonly launchSpec: JsonObject;
  readonly accelerator: Accelerator;
  readonly disk: string;
  /** Makes what comes next read from the disk. */
  readonly cold: () => Promise<void>;
}

const patienceMs = 10 * 60_000;

/** Boots the desktop until its X server lists a window manager's and an editor's window. */
export function coldBoot(machine: Machine): Promise<number> {
  return start(machine, undefined, async (directory, since) => {
    const guest = await connectSoon(directory.file(socketNames.probe));
    await guest.ping({ timeoutMs: patienceMs, retryMs: 200 });
    while ((await guest.windows(patienceMs)) < 2) await sleep(50);
    guest.close();
    return since();
  });
}

/**
 * QEMU's own restore from its own stream, the way `virsh restore` does it: from a file, or from behind a link.
 * The machine starts by itself: the stream was written while it ran.
 */
export function eagerWake(machine: Machine, stream: OwnStream, link: Link | null): Promise<Answered> {
  const incoming = link === null ? `exec:cat '${stream.file}'` : 'unix:stream.sock';
  return start(machine, incoming, async (directory, since) => {
    const sent = link === null ? Promise.resolve() : sendThrough(link, stream.file, directory.socket('stream.sock'));
    const guest = await connectSoon(directory.file(socketNames.probe));
    await guest.ping({ timeoutMs: patienceMs, retryMs: 20 });
    const pingMs = since();
    await guest.windows(patienceMs);
    const answeredMs = since();
    guest.close();
    await sent;
    return { pingMs, answeredMs };
  });
}

async function start<T>(
  { scratch, launchSpec, accelerator, disk, cold }: Machine,
  incoming: string | undefined,
  work: (directory: RunDirectory, since: () => number) => Promise<T>,
): Promise<T> {
  await mkdir(scratch, { recursive: true });
  const directory = new RunDirectory(scratch, 'other');
  await directory.create();
  const overlay = join(directory.path, 'overlay.qcow2');
  const format = disk.endsWith('.qcow2') ? 'qcow2' : 'raw';
  await promisify(execFile)('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', disk, '-F', format, overlay]);
  const placement = {
    name: 'other',
    accelerator,
    overlays: [overlay],
    ...(incoming === undefined ? {} : { incoming }),
  };
  const args = launchArguments(parseLaunchSpec(launchSpec), placement);
  await cold();
  const startedMs = performance.now();
  const logFile = directory.file('qemu.log');
  const qemu = await spawnDetached({ program: 'qemu-system-x86_64', args, cwd: directory.path, logFile });
  try {
    return await work(directory, () => Math.round(performance.now() - startedMs));
  } finally {
    await stopProcess(qemu, { signal: 'SIGKILL' });
    await rm(directory.path, { recursive: true, force: true });
  }
}

async function sendThrough(link: Link, file: string, socketPath: string): Promise<void> {
  const socket = await connectTo(socketPath);
  await sleep(link.requestMs);
  await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), through(link), socket);
}

function connectTo(path: string): Promise<Socket> {
  return soon(
    () =>
      new Promise((resolve, reject) => {
        const socket = connect(path);
        socket.once('connect', () => resolve(socket)).once('error', reject);
      }),
  );
}

function connectSoon(path: string): Promise<GuestClient> {
  return soon(() => GuestClient.connect(path));
}

async function soon<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(2);
    }
  }
}
