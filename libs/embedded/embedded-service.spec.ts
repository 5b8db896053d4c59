import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { embeddedService } from './embedded-service';
import { ServiceProcess } from './service-process';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-service-'));
});
afterEach(() => rm(directory, { recursive: true }));

test('the log of a service that complains without end is bounded while it runs', async () => {
  const logFile = join(directory, 'service.log');
  const told: string[] = [];
  const command = ['sh', '-c', 'while :; do yes complaint | head -c 300000; sleep 0.05; done'];
  const service = await embeddedService({
    start: async () =>
      new ServiceProcess({ name: 'service', command, cwd: directory, env: { PATH: process.env['PATH'] }, logFile }, [
        { signal: 'SIGKILL', patienceMs: 10_000 },
      ]),
    workingDirectory: directory,
    log: (line) => told.push(line),
    revive: false,
    boundLogEveryMs: 20,
    release: () => undefined,
  });
  try {
    await isCut(logFile, 2);
    expect((await stat(`${logFile}.1`)).size).toBeLessThanOrEqual(2 ** 20);
    expect(await readFile(`${logFile}.1`, 'latin1')).toContain('complaint');
    expect(told).toEqual([]);
  } finally {
    await service.stop();
  }
});

/** Waits until a file that grows has become smaller so many times. */
async function isCut(path: string, times: number): Promise<void> {
  const deadline = Date.now() + 50_000;
  for (let before = 0, cuts = 0; cuts < times;) {
    const { size } = await stat(path);
    if (size < before) cuts += 1;
    before = size;
    if (Date.now() > deadline) throw new Error(`${path} was cut ${cuts} times, and has ${size} bytes`);
    await sleep(5);
  }
}
