import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Environment } from '@dormouse/config';
import type { JsonObject } from '@dormouse/session';
import { defaultGuestCache, ensureGuestImage, type GuestClient, type GuestImage } from '../guest';
import { Desk, guestLaunchSpec } from './desk';
import { filesBelow } from './files';
import { endAllOf } from './processes';
import { RunningDormouse } from './running-dormouse';

/** What a guest knows only in its memory. */
export interface Memory {
  readonly nonce: string;
  readonly sum: string;
}

/** A desktop that runs, with a line into its guest. */
export interface RunningDesk {
  readonly desk: Desk;
  readonly guest: GuestClient;
  readonly memory: Memory;
}

const guestPatienceMs = 120_000;

/**
 * A data directory for one file of tests, and the Dormouse in it. Once the file is over, however it went, nothing of it
 * is left: no process, no file.
 */
export class TestBed {
  private constructor(
    readonly dataDir: string,
    readonly image: GuestImage,
  ) {}

  static async make(): Promise<TestBed> {
    const image = await ensureGuestImage(defaultGuestCache());
    return new TestBed(await mkdtemp(join(tmpdir(), 'dormouse-test-')), image);
  }

  /** Starts the Dormouse, or starts it again. Settings of the person who runs the tests have no say in it. */
  start(settings: Environment = {}): Promise<RunningDormouse> {
    const { PATH, HOME } = process.env;
    return RunningDormouse.start(this.dataDir, { PATH, HOME, API_PORT: '0', ...settings });
  }

  launchSpec(memoryMiB: number): JsonObject {
    return guestLaunchSpec(this.image, memoryMiB);
  }

  /** Registers and starts a desktop, nobody connected to it, and fills some of its guest's memory. */
  async desktop(
    dormouse: RunningDormouse,
    id: string,
    { memoryMiB = 192, fillMiB = 32 }: { memoryMiB?: number; fillMiB?: number } = {},
  ): Promise<RunningDesk> {
    const desk = new Desk(dormouse, id);
    await desk.register(this.launchSpec(memoryMiB));
    await desk.start();
    const guest = await this.guestOf(desk);
    await guest.fill(fillMiB);
    return { desk, guest, memory: await memoryOf(guest) };
  }

  /** A line into the guest, once it answers. */
  async guestOf(desk: Desk): Promise<GuestClient> {
    const guest = await desk.guest();
    await guest.ping({ timeoutMs: guestPatienceMs });
    return guest;
  }

  /** Puts a desktop to sleep; the line into its guest ends with its machine. @throws what the save has failed for */
  async sleeps({ desk, guest }: RunningDesk): Promise<void> {
    guest.close();
    await desk.does('save');
  }

  /** Wakes a desktop, to the last page. @returns it with another line into its guest @throws what the restore has failed for */
  async wakes(running: RunningDesk): Promise<RunningDesk> {
    await running.desk.does('restore');
    return this.answering(running);
  }

  /** A desktop whose machine is another one, with a line into that. */
  async answering(running: RunningDesk): Promise<RunningDesk> {
    return { ...running, guest: await this.guestOf(running.desk) };
  }

  /** What `dormouse checkpoint ARGS --json` prints. @param settings those of the Dormouse that matter to it @throws when it fails */
  async checkpoint(settings: Environment, ...args: string[]): Promise<Record<string, unknown>> {
    const main = join(process.cwd(), 'dist', 'apps', 'cli', 'main.js');
    const env = { PATH: process.env['PATH'], DATA_DIR: this.dataDir, ...settings };
    const { stdout } = await promisify(execFile)(process.execPath, [main, 'checkpoint', ...args, '--json'], { env });
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  /** Files in a folder of the data directory, by their paths below it. */
  filesBelow(folder: string): Promise<string[]> {
    return filesBelow(join(this.dataDir, folder));
  }

  /** @param beforeRemoval once no process is left, for what is not removed like a file */
  async end(beforeRemoval = (): unknown => undefined): Promise<void> {
    await endAllOf(this.dataDir);
    beforeRemoval();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}

export async function memoryOf(guest: GuestClient): Promise<Memory> {
  return { nonce: await guest.nonce(), sum: await guest.sum() };
}
