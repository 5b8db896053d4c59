import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { Lines } from '@dormouse/process';
import type { RunDirectory } from './run-directory';

/** Name of the pair of pipes in the run directory, as QEMU wants it: it reads `.in` and writes `.out`. */
export const rescuePipes = 'rescue';
/** Their files, which must be there when QEMU starts. */
export const rescuePipeFiles = [`${rescuePipes}.in`, `${rescuePipes}.out`];
const answerPatienceMs = 5_000;
const lookEveryMs = 2;
/** QEMU notices that its pager is gone within a few milliseconds. */
const pausePatienceMs = 2_000;
const longestLine = 1024 * 1024;

/**
 * A way to QEMU that nothing can block: a QMP on two pipes.
 *
 * A machine whose pager died may wait for a page in its main loop, and then its control socket takes no new client. Commands
 * that are executed out of band still work, on a connection that was opened before; and pipes, other than sockets, stay open
 * when whoever used them dies. So the conversation is opened when the machine starts, and anybody can go on with it.
 */
export class RescueChannel {
  constructor(private readonly directory: RunDirectory) {}

  /** Once QEMU has opened its ends. Its answers stay in the pipe until somebody wants to know more. */
  async open(): Promise<void> {
    await this.send({ execute: 'qmp_capabilities', arguments: { enable: ['oob'] } });
  }

  /**
   * Has QEMU listen for another source of its memory. Where it listens already, nothing happens.
   * @throws QMP_FAILED when it lacks none, MACHINE_GONE
   */
  async listenAgain(uri: string): Promise<void> {
    const deadline = performance.now() + pausePatienceMs;
    for (;;) {
      try {
        return await this.execute('migrate-recover', { uri });
      } catch (error) {
        if (!isDormouseError(error, 'QMP_FAILED')) throw error;
        if (/already/i.test(error.message)) return;
        if (performance.now() > deadline) throw error;
        await sleep(10);
      }
    }
  }

  private async execute(command: string, args: Readonly<Record<string, unknown>>): Promise<void> {
    const answers = await this.end('out', constants.O_RDONLY);
    try {
      const id = randomUUID();
      await this.send({ 'exec-oob': command, arguments: args, id });
      const { error } = await answerTo(id, answers);
      if (error !== undefined) throw new DormouseError('QMP_FAILED', `QEMU refused: ${error.desc}`);
    } finally {
      await answers.close();
    }
  }

  private async send(message: object): Promise<void> {
    const requests = await this.end('in', constants.O_WRONLY);
    try {
      await requests.write(`${JSON.stringify(message)}\n`);
    } finally {
      await requests.close();
    }
  }

  /** Without waiting for the other end, which QEMU holds open for as long as it lives. */
  private async end(end: 'in' | 'out', mode: number): Promise<FileHandle> {
    try {
      return await open(this.file(end), mode | constants.O_NONBLOCK);
    } catch (cause) {
      const { desktopId } = this.directory;
      throw new DormouseError('MACHINE_GONE', `the machine of ${desktopId} does not listen`, { desktopId }, { cause });
    }
  }

  private file(end: 'in' | 'out'): string {
    return this.directory.file(`${rescuePipes}.${end}`);
  }
}

interface Answer {
  readonly id?: unknown;
  readonly error?: { readonly desc: string };
}

/** Reads past the greeting, events, and what was answered to others. */
async function answerTo(id: string, pipe: FileHandle): Promise<Answer> {
  const lines = new Lines(longestLine);
  const chunk = Buffer.alloc(65_536);
  const deadline = performance.now() + answerPatienceMs;
  while (performance.now() < deadline) {
    const bytesRead = await readNow(pipe, chunk);
    for (const line of lines.push(chunk.toString('utf8', 0, bytesRead)) ?? []) {
      const answer = parse(line);
      if (answer?.id === id) return answer;
    }
    if (bytesRead === 0) await sleep(lookEveryMs);
  }
  throw new DormouseError('QMP_FAILED', 'QEMU does not answer on its rescue channel');
}

/** Null for a line of which whoever read before has taken a part. */
function parse(line: string): Answer | null {
  try {
    return JSON.parse(line) as Answer;
  } catch {
    return null;
  }
}

async function readNow(pipe: FileHandle, chunk: Buffer): Promise<number> {
  try {
    return (await pipe.read(chunk, 0, chunk.length, null)).bytesRead;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}
