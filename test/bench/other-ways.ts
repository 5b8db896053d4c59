import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { OwnStream } from '../scenario';
import { besideDormouse, soon, type MachineBeside, type RunningBeside } from '../scenario/machine-beside';
import { runFromMappedRam } from './mapped-ram';
import { through, type Link } from './throttle';

/** From the start to the answers of the guest, in milliseconds. */
export interface Answered {
  /** To a question that needs nothing but a shell. */
  readonly pingMs: number;
  /** To what windows there are. */
  readonly answeredMs: number;
}

const patienceMs = 10 * 60_000;

/** Boots the desktop until its X server lists a window manager's and an editor's window. */
export function coldBoot(machine: MachineBeside): Promise<number> {
  return besideDormouse(machine, async (running) => {
    const guest = await running.guest();
    await guest.ping({ timeoutMs: patienceMs, retryMs: 200 });
    while ((await guest.windows(patienceMs)) < 2) await sleep(50);
    guest.close();
    return Math.round(running.sinceMs());
  });
}

/**
 * QEMU's own restore from its own stream, the way `virsh restore` does it: from a file, or from behind a link.
 * The machine starts by itself: the stream was written while it ran.
 */
export function eagerWake(machine: MachineBeside, stream: OwnStream, link: Link | null): Promise<Answered> {
  const incoming = link === null ? `exec:cat '${stream.file}'` : 'unix:stream.sock';
  return besideDormouse({ ...machine, incoming }, async (running) => {
    const { directory } = running;
    const sent = link === null ? Promise.resolve() : sendThrough(link, stream.file, directory.socket('stream.sock'));
    const answers = await answered(running);
    await sent;
    return answers;
  });
}

/**
 * QEMU's own restore from a mapped-ram file. From behind a link the file is fetched first: QEMU reads files only. What was never
 * written of it costs nothing, and what was fetched is read from memory.
 */
export function mappedRamWake(machine: MachineBeside, file: string, link: Link | null): Promise<Answered> {
  return besideDormouse({ ...machine, incoming: 'defer' }, async (running) => {
    const woken = (link === null ? Promise.resolve() : fetched(file, link)).then(() => runFromMappedRam(running, file));
    woken.catch(() => undefined); // met below
    return Promise.race([answered(running), woken.then(() => new Promise<never>(() => undefined))]);
  });
}

async function answered({ guest: lineTo, sinceMs }: Pick<RunningBeside, 'guest' | 'sinceMs'>): Promise<Answered> {
  const guest = await lineTo();
  await guest.ping({ timeoutMs: patienceMs, retryMs: 20 });
  const pingMs = Math.round(sinceMs());
  await guest.windows(patienceMs);
  const answeredMs = Math.round(sinceMs());
  guest.close();
  return { pingMs, answeredMs };
}

async function fetched(file: string, { bytesPerSecond, requestMs }: Link): Promise<void> {
  const bytes = (await stat(file)).blocks * 512;
  const read = pipeline(
    createReadStream(file, { highWaterMark: 1024 * 1024 }),
    new Writable({ write: (_, __, done) => done() }),
  );
  await Promise.all([read, sleep(requestMs + (bytes / bytesPerSecond) * 1_000)]);
}

async function sendThrough(link: Link, file: string, socketPath: string): Promise<void> {
  const socket = await soon(() => connected(socketPath));
  await sleep(link.requestMs);
  await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), through(link), socket);
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket)).once('error', reject);
  });
}
