import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runInGuest } from '../guest';
import { processesOf, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(300_000);

/** Only root may mount the small file system that fills up. */
const asRoot = process.getuid?.() === 0 ? test : test.skip;

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;
let disks: string;

beforeAll(async () => {
  bed = await TestBed.make();
  disks = join(bed.dataDir, 'small');
  await mkdir(disks);
  if (process.getuid?.() === 0) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', disks]);
  // No machine waits: it would hold the layer that it was started with.
  dormouse = await bed.start({ DISKS_DIR: disks, MACHINES_IN_WAITING: '0' });
  await dormouse.api.putPool('default', { graceMs: 3_600_000, keepCheckpoints: 1 });
  running = await bed.desktop(dormouse, 'ada', { memoryMiB: 192, fillMiB: 16 });
});
afterAll(() => bed?.end(() => process.getuid?.() === 0 && execFileSync('umount', [disks])));

function agentSocket(): string {
  return running.desk.runDirectory.file('agent.sock');
}

/** The layer that the next wake is to take. Its save is over a moment before it is made. */
async function layerMadeAhead(): Promise<string> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(50)) {
    const name = (await readdir(join(disks, 'ada'))).find((one) => one.includes('.next.') && !one.includes('.new'));
    if (name !== undefined) return join(disks, 'ada', name);
  }
  throw new Error('no layer was made ahead within 60 s');
}

/** As a guest's own timer does it. */
async function suspends(): Promise<void> {
  const sleeps = 'sleep 1; echo deep > /sys/power/mem_sleep; echo mem > /sys/power/state';
  await runInGuest(agentSocket(), `sh -c '${sleeps}' >/dev/null 2>&1 </dev/null & true`);
  await running.desk.until(({ condition }) => condition?.kind === 'suspended');
}

test('a guest that suspends itself is told to be so, and woken when its user comes', async () => {
  await suspends();
  expect((await dormouse.api.explain('ada')).hindrances).toContainEqual(
    expect.objectContaining({ code: 'GUEST_CONDITION', sentence: expect.stringContaining('gone to sleep by itself') }),
  );
  await running.desk.broker('connected');
  await running.desk.until(({ condition }) => condition === null);
  await running.guest.ping({ timeoutMs: 60_000 });
  await running.desk.broker('disconnected');
});

asRoot(
  'one whose disk cannot be written stands still and is told to be so, is not saved so, and goes on when there is room',
  async () => {
    const filling = join(disks, 'filling');
    execFileSync('sh', ['-c', `dd if=/dev/zero of=${filling} bs=1M 2>/dev/null || true`]);
    const written = runInGuest(agentSocket(), 'dd if=/dev/urandom of=/var/big bs=1M count=8 && sync && echo done');
    const { condition } = await running.desk.until(({ condition }) => condition?.kind === 'io-error');
    expect(condition!.about).toContain('no room left');
    expect((await dormouse.api.explain('ada')).sentence).toContain('make room');
    expect(await running.desk.command('save')).toMatchObject({ status: 'failed', error: { code: 'GUEST_STOPPED' } });
    await rm(filling);
    expect(await written).toContain('done');
    await running.desk.until(({ condition }) => condition === null);
  },
);

asRoot(
  'where there is no room for the layer of a wake it is said so, and counts as no failure of its checkpoint',
  async () => {
    await bed.sleeps(running);
    await rm(await layerMadeAhead()); // there was room for it
    const filling = join(disks, 'filling');
    execFileSync('sh', ['-c', `dd if=/dev/zero of=${filling} bs=4k 2>/dev/null || true`]);
    const failed = await running.desk.command('restore');
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'DISKS_FULL' } });
    expect(failed.error!.message).toContain(disks);
    expect(await running.desk.view()).toMatchObject({ state: 'saved', restoreFailures: 0 });
    await writeFile(filling, '');
    await sleep(100);
    running = await bed.wakes(running);
    expect(await memoryOf(running.guest)).toEqual(running.memory);
  },
);

test('what a guest writes to its console without end is bounded, and the guest runs on', async () => {
  const log = running.desk.runDirectory.file('console.log');
  await runInGuest(agentSocket(), `sh -c 'yes the console > /dev/ttyS0' >/dev/null 2>&1 </dev/null & true`);
  await isCut(log, 2);
  expect((await stat(`${log}.1`)).size).toBeLessThanOrEqual(2 ** 20);
  expect(await readFile(`${log}.1`, 'latin1')).toContain('the console');
  await running.guest.ping({ timeoutMs: 60_000 });
  await runInGuest(agentSocket(), 'killall yes');
});

test('all who write a log of a machine append to it, so that it can be cut under them', async () => {
  const writers = (await processesOf(join(dormouse.dataDir, 'run'))).flatMap(({ pid }) => pid);
  const logs = (await Promise.all(writers.map(logsOf))).flat();
  expect(logs.map(({ name }) => name)).toEqual(expect.arrayContaining(['console.log', 'qemu.log']));
  expect(logs.filter(({ appends }) => !appends)).toEqual([]);
});

/** Waits until a file that grows has become smaller so many times. */
async function isCut(path: string, times: number): Promise<void> {
  const deadline = Date.now() + 200_000;
  for (let before = 0, cuts = 0; cuts < times;) {
    const { size } = await stat(path);
    if (size < before) cuts += 1;
    before = size;
    if (Date.now() > deadline) throw new Error(`${path} was cut ${cuts} times, and has ${size} bytes`);
    await sleep(200);
  }
}

/** The logs that a process has open for writing. */
async function logsOf(pid: number): Promise<{ name: string; appends: boolean }[]> {
  const found = [];
  for (const descriptor of await readdir(`/proc/${pid}/fd`)) {
    const path = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => ''); // closed meanwhile
    if (!path.endsWith('.log')) continue;
    const [, flags] = /^flags:\s+([0-7]+)/m.exec(await readFile(`/proc/${pid}/fdinfo/${descriptor}`, 'latin1'))!;
    found.push({ name: basename(path), appends: (Number.parseInt(flags!, 8) & constants.O_APPEND) !== 0 });
  }
  return found;
}
