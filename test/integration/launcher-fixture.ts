import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '@dormouse/api-client';
import { loadConfig, loadKeys, readApiAddress, type Environment } from '@dormouse/config';
import { endAllOf, processesOf } from '../scenario';

export { leftOf, processesOf } from '../scenario';
export { environmentOf } from '../scenario/processes';

const projectRoot = join(__dirname, '../..');

/** `npm start` on a data directory of its own, as the leader of a process group, as a terminal starts it. */
export class LauncherRun {
  readonly lines: string[] = [];
  readonly ended: Promise<number | null>;

  private constructor(
    readonly directory: string,
    readonly process: ChildProcess,
  ) {
    for (const stream of [process.stdout!, process.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => this.lines.push(line));
    }
    this.ended = once(process, 'close').then(([code]) => code as number | null);
  }

  /** @param app the launcher, or a worker by itself */
  static start(directory: string, environment: Environment = {}, app: 'launcher' | 'worker' = 'launcher'): LauncherRun {
    const { PATH, HOME } = process.env;
    const child = spawn(process.execPath, [join(projectRoot, `dist/apps/${app}/main.js`)], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH, HOME, DATA_DIR: directory, API_PORT: '0', LOG_FORMAT: 'json', ...environment },
    });
    return new LauncherRun(directory, child);
  }

  /** Resolves when it ends as one that was told to; fails with what it has said when it ends otherwise. */
  async endsWell(): Promise<void> {
    const code = await this.ended;
    if (code !== 0) throw new Error(`it ended with ${code}:\n${this.lines.join('\n')}`);
  }

  /** Resolves when a line holds `text`; fails when it ends before. */
  async says(text: string, count = 1): Promise<void> {
    const isOver = this.ended.then(() => true);
    for (;;) {
      if (this.lines.filter((line) => line.includes(text)).length >= count) return;
      if (await Promise.race([isOver, sleep(20, false)])) {
        throw new Error(`it ended without saying "${text}":\n${this.lines.join('\n')}`);
      }
    }
  }

  async up(): Promise<ApiClient> {
    await this.says('Dormouse is up');
    return this.client();
  }

  async client(): Promise<ApiClient> {
    const { adminKey } = await loadKeys(loadConfig({ DATA_DIR: this.directory }));
    const address = await readApiAddress(this.directory);
    return new ApiClient({ url: address!.url, adminKey });
  }

  /** What Ctrl-C does: SIGINT to everyone in the process group. */
  interrupt(): void {
    process.kill(-this.process.pid!, 'SIGINT');
  }

  async childPid(name: 'api' | 'worker'): Promise<number> {
    const found = (await processesOf(this.directory)).find(({ command }) => command.includes(`apps/${name}/main.js`));
    if (found === undefined) throw new Error(`no ${name} runs`);
    return found.pid;
  }
}

/** Data directories of one file of tests; what still runs in them is ended when the file is over. */
export function launcherDirectories(): () => Promise<string> {
  const made: string[] = [];
  afterAll(async () => {
    for (const directory of made) {
      await endAllOf(directory);
      await rm(directory, { recursive: true, force: true });
    }
  });
  return async () => {
    const directory = await mkdtemp(join(tmpdir(), 'dormouse-launcher-'));
    made.push(directory);
    return directory;
  };
}
