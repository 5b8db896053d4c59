import { createServer } from 'node:net';
import { existsSync } from 'node:fs';
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dataPaths, readApiAddress } from '@dormouse/config';
import { startPostgres } from '@dormouse/embedded';
import { processesIn } from '../../libs/embedded/processes-in';
import { environmentOf, LauncherRun, launcherDirectories, leftOf, processesOf } from './launcher-fixture';

jest.setTimeout(180_000);

const newDirectory = launcherDirectories();

describe('with nothing configured', () => {
  let directory: string;
  let run: LauncherRun;

  beforeAll(async () => {
    directory = await newDirectory();
    run = LauncherRun.start(directory);
    await run.up();
  });

  test('everything is started, and the key is in a file that only its owner reads', async () => {
    expect(await (await run.client()).hosts()).toMatchObject([{ alive: true }]);
    expect((await stat(dataPaths(directory).adminKeyFile)).mode & 0o777).toBe(0o600);
  });

  test('a second start in the same data directory is refused, and the first goes on', async () => {
    const second = LauncherRun.start(directory);
    expect(await second.ended).toBe(1);
    expect(second.lines.join('\n')).toContain(directory);
    expect(await (await run.client()).hosts()).toHaveLength(1);
  });

  test('an api that dies is told of and started again', async () => {
    process.kill(await run.childPid('api'), 'SIGKILL');
    await run.says('the api ended by itself (SIGKILL)');
    await run.says('the api listens', 2);
    expect(await (await run.client()).hosts()).toHaveLength(1);
  });

  test.each(['redis', 'postgres'])(
    'a %s that is killed is started again, and what waits on it goes on',
    async (service) => {
      const pids = [await run.childPid('api'), await run.childPid('worker')];
      const home = service === 'redis' ? 'redis' : 'postgres/cluster';
      process.kill(Math.min(...processesIn(join(directory, home))), 'SIGKILL');
      await run.says('It is started again in');
      await run.says(' runs in ', service === 'redis' ? 3 : 4);
      const client = await run.client();
      for (;;) {
        const isDone = await client
          .putPool(`after-${service}`, { graceMs: 1_000, keepCheckpoints: 1 })
          .catch(() => null);
        if (isDone !== null) break;
        await sleep(100);
      }
      expect([await run.childPid('api'), await run.childPid('worker')]).toEqual(pids);
    },
  );

  test('another machine of the same name, and another host in the same directory, are refused and told what to do', async () => {
    const [host] = await (await run.client()).hosts();
    const worker = await run.childPid('worker');
    const [DATABASE_URL, REDIS_URL] = [
      await environmentOf(worker, 'DATABASE_URL'),
      await environmentOf(worker, 'REDIS_URL'),
    ];
    const elsewhere = await newDirectory();
    const services = {
      DATABASE_URL,
      REDIS_URL,
      METRICS_PORT: '0',
      KEY_URL: `file://${dataPaths(directory).masterKeyFile}`,
    };
    const second = LauncherRun.start(elsewhere, { ...services, HOST_ID: host!.id }, 'worker');
    expect(await second.ended).toBe(1);
    expect(second.lines.at(-1)).toMatch(/^worker: another machine is the host .* Give this one a HOST_ID of its own/);

    const third = LauncherRun.start(directory, { ...services, HOST_ID: 'host-9' }, 'worker');
    expect(await third.ended).toBe(1);
    expect(third.lines).toEqual([
      expect.stringContaining(`Set HOST_ID=${host!.id}, or give host-9 a DATA_DIR of its own`),
    ]);
    expect(await (await run.client()).hosts()).toHaveLength(1);
  });

  test('Ctrl-C leaves no process and no address', async () => {
    expect(await processesOf(directory)).not.toEqual([]);
    run.interrupt();
    await run.endsWell();
    expect(await leftOf(directory, 5_000)).toEqual([]);
    expect(existsSync(dataPaths(directory).apiFile)).toBe(false);
  });
});

test('killed with -9, it leaves no process, and can be started again with what was stored', async () => {
  const directory = await newDirectory();
  const first = LauncherRun.start(directory);
  await (await first.up()).putPool('kept', { graceMs: 5_000, keepCheckpoints: 1 });
  first.process.kill('SIGKILL');
  expect(await leftOf(directory, 15_000)).toEqual([]);

  const second = LauncherRun.start(directory);
  expect((await (await second.up()).pool('kept')).policy.graceMs).toBe(5_000);
  second.interrupt();
  await second.endsWell();
});

test('stopped while it starts, it leaves no process', async () => {
  const directory = await newDirectory();
  const run = LauncherRun.start(directory);
  await run.says('Postgres');
  run.interrupt();
  await run.endsWell();
  expect(await leftOf(directory, 5_000)).toEqual([]);
});

test('the usual port being taken, another one is used and told', async () => {
  const taken = createServer();
  // An error means that someone else has taken it already: as good.
  await new Promise<unknown>((resolve) => taken.once('error', resolve).listen(7077, '127.0.0.1', () => resolve(null)));
  const directory = await newDirectory();
  const run = LauncherRun.start(directory, { API_PORT: '' });
  await run.up();
  expect((await readApiAddress(directory))!.url).toMatch(/^http:\/\/127\.0\.0\.1:(?!7077$)\d+$/);
  run.interrupt();
  await run.ended;
  taken.close();
});

test('a configuration that is wrong is told in full, and nothing is started', async () => {
  const directory = await newDirectory();
  const run = LauncherRun.start(directory, { API_PORT: 'seven', ACCEL: 'hax' });
  expect(await run.ended).toBe(1);
  expect(run.lines).toEqual([
    expect.stringContaining('API_PORT is "seven"; it should be a port number'),
    expect.stringContaining('ACCEL is "hax"; it should be auto, kvm or tcg'),
  ]);
  expect(await processesOf(directory)).toEqual([]);
});

test('a database that does not answer is named, and nothing is left running', async () => {
  const directory = await newDirectory();
  const run = LauncherRun.start(directory, { DATABASE_URL: 'postgres://nobody@127.0.0.1:9/dormouse' });
  expect(await run.ended).toBe(1);
  expect(run.lines).toContainEqual(expect.stringMatching(/Postgres cannot be used: .*Check DATABASE_URL/));
  expect(run.lines.at(-1)).toContain('the api does not start');
  expect(await leftOf(directory, 5_000)).toEqual([]);
});

test('a worker that cannot start ends the launcher with its reason, and leaves no process', async () => {
  const directory = await newDirectory();
  const run = LauncherRun.start(directory, { QEMU_BINARY: '/nowhere/qemu' });
  expect(await run.ended).toBe(1);
  expect(run.lines.join('\n')).toContain('/nowhere/qemu');
  expect(run.lines.at(-1)).toContain('the worker does not start');
  expect(await leftOf(directory, 5_000)).toEqual([]);
});

describe('desktops that run when everything stops', () => {
  const launchSpec = { machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: 64, readiness: 'none' };

  async function runningDesktop(run: LauncherRun, id: string): Promise<void> {
    const client = await run.up();
    await client.putDesktop(id, { launchSpec });
    const { id: operationId } = await client.command(id, 'start', { reason: 'test' });
    while ((await client.operation(operationId)).endedAt === null) await sleep(50);
    expect(await client.desktop(id)).toMatchObject({ state: 'running' });
    expect((await processesOf(run.directory)).filter(({ command }) => command.includes('guest='))).toHaveLength(1);
  }

  test('are put to sleep, leave no process, and are saved at the next start', async () => {
    const directory = await newDirectory();
    const first = LauncherRun.start(directory);
    await runningDesktop(first, 'desk-1');
    first.interrupt();
    await first.endsWell();
    expect(first.lines.join('\n')).toContain('putting desktops to sleep: 1 to go');
    expect(await leftOf(directory, 5_000)).toEqual([]);

    const second = LauncherRun.start(directory);
    expect(await (await second.up()).desktop('desk-1')).toMatchObject({ state: 'saved' });
    second.interrupt();
    await second.endsWell();
  });

  test('are put to sleep when the terminal is closed, or the reader of what Dormouse says is gone', async () => {
    const directory = await newDirectory();
    const first = LauncherRun.start(directory);
    await runningDesktop(first, 'desk-1');
    first.process.stdout!.destroy();
    first.process.stderr!.destroy();
    for (let n = 0; n < 2; n += 1) process.kill(-first.process.pid!, 'SIGHUP');
    expect(await first.ended).toBe(0);
    expect(await leftOf(directory, 5_000)).toEqual([]);

    const second = LauncherRun.start(directory);
    expect(await (await second.up()).desktop('desk-1')).toMatchObject({ state: 'saved' });
    second.interrupt();
    await second.endsWell();
  });

  test('run on when what stopped Dormouse could not be done, and nothing of it is done at the next start', async () => {
    const directory = await newDirectory();
    const first = LauncherRun.start(directory);
    await runningDesktop(first, 'desk-1');
    const client = await first.client();
    const worker = await first.childPid('worker');
    process.kill(worker, 'SIGSTOP');
    first.interrupt();
    await first.says('putting desktops to sleep');
    while ((await client.desktop('desk-1')).operation === null) await sleep(20);
    first.process.kill('SIGKILL');
    process.kill(worker, 'SIGKILL');
    while ((await processesOf(directory)).some(({ command }) => !command.includes('qemu-system'))) await sleep(50);

    const second = LauncherRun.start(directory);
    const again = await second.up();
    expect(second.lines.join('\n')).toContain('was asked for by a shutdown that is over');
    for (let n = 0; n < 20; n += 1) {
      expect(await again.desktop('desk-1')).toMatchObject({ state: expect.stringMatching(/^(running|grace)$/) });
      await sleep(100);
    }
    second.interrupt();
    await second.endsWell();
  });

  test('are powered off, and it is said, when they cannot be put to sleep', async () => {
    const directory = await newDirectory();
    const run = LauncherRun.start(directory);
    await runningDesktop(run, 'desk-1');
    await rm(join(directory, 'storage'), { recursive: true });
    await writeFile(join(directory, 'storage'), 'no directory, so nothing can be stored');
    run.interrupt();
    await run.endsWell();
    expect(run.lines.join('\n')).toContain('desk-1 could not be put to sleep and is stopped');
    expect(await leftOf(directory, 5_000)).toEqual([]);
  });

  test('that belong to a database of the user run on', async () => {
    const directory = await newDirectory();
    const postgres = await startPostgres({ directory: await newDirectory(), log: () => {}, durable: false });
    const run = LauncherRun.start(directory, { DATABASE_URL: postgres.url });
    await runningDesktop(run, 'desk-1');
    run.interrupt();
    await run.endsWell();
    expect(run.lines.join('\n')).toContain('desktops are left running');
    // What waited for a wake is on its way out.
    while ((await processesOf(directory)).length > 1) await sleep(50);
    expect(await processesOf(directory)).toEqual([
      expect.objectContaining({ command: expect.stringContaining('qemu-system') }),
    ]);
    await postgres.stop();
  });
});
