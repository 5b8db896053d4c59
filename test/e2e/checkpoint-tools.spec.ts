import { execFile } from 'node:child_process';
import { open, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Accelerator } from '@dormouse/qemu';
import type { RunningDormouse } from '../scenario';
import { besideDormouse } from '../scenario/machine-beside';
import { memoryOf, TestBed, type Memory, type RunningDesk } from '../scenario/test-bed';

/** The commands for checkpoints, from a shell on the host, on what a real desktop has left; QEMU alone has the last word. */

jest.setTimeout(300_000);

const memoryMiB = 192;
let bed: TestBed;
let dormouse: RunningDormouse;
let sleeping: RunningDesk;
let wokenId: string;
let checkpointId: string;
let folder: string;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  sleeping = await bed.desktop(dormouse, 'ada', { memoryMiB });
  sleeping.guest.close();
  // Twice, so that the second leans on the first: on its packs and on the layer sealed with it.
  expect(await sleeping.desk.command('save')).toMatchObject({ status: 'succeeded' });
  wokenId = (await sleeping.desk.view()).checkpointId!;
  expect(await sleeping.desk.command('restore')).toMatchObject({ status: 'succeeded' });
  expect(await sleeping.desk.command('save')).toMatchObject({ status: 'succeeded' });
  checkpointId = (await sleeping.desk.view()).checkpointId!;
  folder = `desktops/ada/checkpoints/${checkpointId}`;
});
afterAll(() => bed?.end());

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function checkpoint(...args: string[]): Promise<Ran> {
  const main = join(process.cwd(), 'dist', 'apps', 'cli', 'main.js');
  const env = { PATH: process.env['PATH'], DATA_DIR: bed.dataDir };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, 'checkpoint', ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

const json = ({ stdout }: Ran) => JSON.parse(stdout) as Record<string, unknown>;

test('inspect tells what the newest checkpoint is made of', async () => {
  const shown = await checkpoint('inspect', 'ada');
  expect(shown).toMatchObject({ code: 0, stderr: '' });
  expect(shown.stdout).toContain(`checkpoint    ${checkpointId}`);
  expect(shown.stdout).toMatch(/known from the checkpoint before +[1-9]/);
  const summary = json(await checkpoint('inspect', 'ada', '--json'));
  expect(summary).toMatchObject({ checkpointId, sealChecked: true, lineage: { depth: 1 } });
});

test('verify looks at all of it and finds nothing', async () => {
  const report = json(await checkpoint('verify', 'ada', '--json'));
  expect(report).toMatchObject({ checkpointId, depth: 'contents', findings: [], notChecked: [] });
  expect(report['checked']).toMatchObject({ frames: expect.any(Number), pages: expect.any(Number) });
  expect(await checkpoint('verify', 'ada')).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(new RegExp(`^${checkpointId} is whole\nchecked: `)),
  });
  expect(await checkpoint('verify', 'ada', checkpointId, '--no-keys')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Only sizes and digests were checked'),
  });
});

test('the memory that QEMU alone loads from an export is the memory that was put to sleep', async () => {
  const file = join(bed.dataDir, 'ada.stream');
  const exported = json(await checkpoint('export', 'ada', '--output', file, '--json'));
  expect(exported).toMatchObject({ checkpointId, output: file });
  expect(await loadedByQemuAlone(file, exported['layers'] as string[])).toEqual(sleeping.memory);
  // What was exported is still there to be woken.
  expect(await checkpoint('verify', 'ada')).toMatchObject({ code: 0 });
});

test('trace tells how a checkpoint was woken, and draws it', async () => {
  const file = join(bed.dataDir, 'wake.svg');
  const shown = await checkpoint('trace', 'ada', wokenId, '--svg', file);
  expect(shown).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^WOKEN AT .*ASKED FOR/) });
  const { pages, traces } = json(await checkpoint('trace', 'ada', wokenId, '--json')) as unknown as {
    pages: number;
    traces: {
      requests: number;
      writtenSince: number;
      blocked: { allMs: number; eachMs: number[] };
      ahead: number[];
      requested: { page: number; stallUs: number }[];
    }[];
  };
  expect(traces).toHaveLength(1);
  const [{ requests, writtenSince, blocked, ahead, requested }] = traces as [(typeof traces)[number]];
  expect(requests).toBeGreaterThan(0);
  expect(requested).toHaveLength(requests);
  // The desktop was saved after that wake: of what was sent ahead, some was written to by then, and much was only read, or nothing.
  expect(writtenSince).toBeGreaterThan(0);
  expect(writtenSince).toBeLessThan(ahead.length);
  // By QEMU's clock: of one processor, which waits with its guest. The one is taken a moment after the other.
  expect(blocked).toEqual({ allMs: expect.any(Number), eachMs: [expect.any(Number)] });
  expect(Math.abs(blocked.allMs - blocked.eachMs[0]!)).toBeLessThanOrEqual(1);
  // Nothing is sent twice: not what was sent ahead, not what was asked for.
  const touched = [...ahead, ...requested.map(({ page }) => page)];
  expect(new Set(touched).size).toBe(touched.length);
  expect(Math.max(...touched)).toBeLessThan(pages);
  expect(await readFile(file, 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);
});

test('what was learned from the wake is kept with the next checkpoint, and sent ahead with it', async () => {
  const { wakeSet: before } = json(await checkpoint('inspect', 'ada', wokenId, '--json'));
  const { wakeSet: after } = json(await checkpoint('inspect', 'ada', '--json'));
  expect(after).toBeGreaterThan(before as number);
});

test('of a checkpoint that nobody has woken there is no trace', async () => {
  expect(await checkpoint('trace', 'ada')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^nobody has woken/),
  });
  const drawn = await checkpoint('trace', 'ada', '--svg', join(bed.dataDir, 'none.svg'));
  expect(drawn).toMatchObject({ code: 1, stderr: expect.stringContaining('nothing to draw') });
});

test('a damaged checkpoint is verified with exit code 1 and every damage by name, and not exported', async () => {
  const pack = (await readdir(join(bed.dataDir, 'storage', folder))).find((name) => name.startsWith('pack-'))!;
  const damage = await open(join(bed.dataDir, 'storage', folder, pack), 'r+');
  const { buffer } = await damage.read(Buffer.alloc(1), 0, 1, 5);
  await damage.write(Buffer.of(buffer[0]! ^ 8), 0, 1, 5);
  await damage.close();
  const known = join(bed.dataDir, 'storage', folder, 'known-pages');
  await rename(known, `${known}.away`);

  const { code, stdout } = await checkpoint('verify', 'ada', '--json');
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    findings: [
      { code: 'CHECKPOINT_INCOMPLETE', object: `${folder}/known-pages` },
      { code: 'CHECKPOINT_CORRUPT', object: `${folder}/${pack}`, offset: 0, page: expect.any(Number) },
      { code: 'CHECKPOINT_CORRUPT', object: `${folder}/${pack}`, message: expect.stringContaining('digest') },
    ],
  });
  const before = await readdir(bed.dataDir);
  expect(await checkpoint('export', 'ada', '-o', join(bed.dataDir, 'broken.stream'))).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(new RegExp(`^dormouse: .*${pack}: the tag of the frame .*CHECKPOINT_CORRUPT`)),
  });
  expect(await readdir(bed.dataDir)).toEqual(before);
});

async function loadedByQemuAlone(stream: string, layers: readonly string[]): Promise<Memory> {
  const [host] = await dormouse.api.hosts();
  const accelerator = host!.capabilities['accelerator'] as Accelerator;
  const machine = { scratch: join(bed.dataDir, 'alone'), launchSpec: bed.launchSpec(memoryMiB), accelerator };
  return besideDormouse({ ...machine, disks: layers, incoming: `exec:cat '${stream}'` }, async (running) => {
    const guest = await running.guest();
    await guest.ping({ timeoutMs: 120_000 });
    const memory = await memoryOf(guest);
    guest.close();
    return memory;
  });
}
