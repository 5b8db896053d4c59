import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { mergeLayers, planLayers, surveyLayers, type MergeStep } from '@dormouse/hypervisor';
import { LedgerFixture } from '../integration/ledger-fixture';
import { StoredDesktop, StoredHost } from './stored-desktop';

/** A merge of disk layers that is killed leaves the old file or the new one, with the same content. */

jest.setTimeout(240_000);

const run = promisify(execFile);

let fixture: LedgerFixture;
let host: StoredHost;
let desktop: StoredDesktop;
let before: string;
/** Files of the layers that are merged, lowest first. */
let merged: string[];

beforeAll(async () => {
  fixture = await LedgerFixture.start();
  await fixture.ledger.putPool('default', { graceMs: 10_000, keepCheckpoints: 2 }, 'test');
  host = await StoredHost.make(fixture);
  desktop = await StoredDesktop.boot(host, 'ada');
  for (let n = 0; n < 6; n++) {
    await desktop.sleep();
    await desktop.wake();
  }
  await host.objects().collectChanged();
  before = join(host.directory, 'layers-before');
  await cp(desktop.layersDir, before, { recursive: true });
  merged = (await runs())[0]!;
  expect(merged.length).toBeGreaterThan(2);
});
afterAll(async () => {
  await host?.remove();
  await fixture?.stop();
});
beforeEach(async () => {
  await rm(desktop.layersDir, { recursive: true });
  await cp(before, desktop.layersDir, { recursive: true });
});

/** Runs that may be merged, as the collector sees them. */
async function runs(): Promise<string[][]> {
  const kept = await fixture.ledger.keptGenerations('ada');
  const { diskGeneration } = await fixture.ledger.viewDesktop('ada');
  const never = { unneededBeforeMs: 0, abandonedBeforeMs: 0 };
  const { merges } = planLayers(
    await surveyLayers(desktop.layersDir),
    new Set([...kept, diskGeneration!, ...(await named())]),
    never,
  );
  return merges.map((layers) => layers.map(({ file }) => file));
}

/** Generations that kept manifests name. */
async function named(): Promise<string[]> {
  const generations: string[] = [];
  for (const checkpointId of await desktop.durable()) {
    const manifest = (await host.store.read(`desktops/ada/checkpoints/${checkpointId}/manifest`)).toString();
    const { diskSources } = JSON.parse(manifest.slice(manifest.indexOf('\n'))) as { diskSources: { name: string }[] };
    generations.push(...diskSources.map(({ name }) => name.split('/')[0]!));
  }
  return generations;
}

/** Every layer from the merged ones on has the content it had, no image is damaged, and every kept checkpoint is whole. */
async function expectUnharmed(): Promise<void> {
  const files = (await readdir(before)).sort();
  const lower = merged.slice(0, -1);
  for (const file of files.filter((one) => !lower.includes(one))) {
    const now = join(desktop.layersDir, file);
    await run('qemu-img', ['check', '-q', now]);
    await run('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', 'qcow2', now, join(before, file)]);
  }
  await desktop.expectWhole();
}

async function inProcess(dieAt: string, qemuImg = 'qemu-img') {
  const program = ['--require', join(__dirname, '../contract/typescript.cjs'), join(__dirname, 'garbage-process.ts')];
  const parameters = ['merge', desktop.layersDir, dieAt, qemuImg, ...merged];
  const child = spawn(process.execPath, [...program, ...parameters], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
  await once(child.stdout, 'data');
  return { child, ended };
}

/** What is left to do is done by the next round: merged, and lower layers and leftovers gone. */
async function expectNextRoundFinishes(): Promise<void> {
  expect(await host.layers().collectAll(true)).toMatchObject({ failures: [] });
  const left = await readdir(desktop.layersDir);
  for (const file of merged.slice(0, -1)) expect(left).not.toContain(file);
  expect(left.filter((file) => file.endsWith('.new'))).toEqual([]);
  await expectUnharmed();
}

test('merged layers have the content of all of them, on what the lowest lay on', async () => {
  await (
    await inProcess('never')
  ).ended;
  await expectUnharmed();
  const top = join(desktop.layersDir, merged.at(-1)!);
  const { stdout } = await run('qemu-img', ['info', '--output=json', top]);
  expect(JSON.parse(stdout)).toMatchObject({ 'backing-filename': host.image, 'backing-filename-format': 'qcow2' });
  // What they lay on each other for is in one file now: the others may go.
  for (const file of merged.slice(0, -1)) await rm(join(desktop.layersDir, file));
  await expectUnharmed();
});

test.each<MergeStep>(['copy', 'gather', 'settle', 'postpone', 'replace', 'done'])(
  'killed where `%s` begins, a merge has changed no content, and the next round finishes it',
  async (step) => {
    const [, signal] = await (await inProcess(step)).ended;
    expect(signal).toBe('SIGKILL');
    await expectUnharmed();
    await expectNextRoundFinishes();
  },
);

test('killed while it gathers, with its child still writing, it has changed no content', async () => {
  const slow = join(host.directory, 'slow-qemu-img');
  await writeFile(slow, '#!/bin/sh\n[ "$1" = rebase ] && { echo $$ > "$0.pid"; sleep 2; }\nexec qemu-img "$@"\n');
  await chmod(slow, 0o700);
  const { child, ended } = await inProcess('never', slow);
  while (!(await readdir(host.directory)).includes('slow-qemu-img.pid')) await sleep(20);
  child.kill('SIGKILL');
  await ended;
  await expectUnharmed();
  // The next round does not meet the file that the orphan is still at.
  const beside = host.layers({ graceMs: 0 }).collectAll(true);
  await sleep(2_500);
  expect(await beside).toMatchObject({ failures: [] });
  await expectUnharmed();
  await expectNextRoundFinishes();
});

test('a merge that is called off, or whose qemu-img fails, leaves nothing and changes nothing', async () => {
  const { layers } = await surveyLayers(desktop.layersDir);
  const these = merged.map((file) => layers.find((layer) => layer.file === file)!);
  const stop = new AbortController();
  const calledOff = mergeLayers(desktop.layersDir, these, {
    qemuImg: 'qemu-img',
    signal: stop.signal,
    onStep: (step) => step === 'gather' && stop.abort(),
  });
  await expect(calledOff).rejects.toMatchObject({ code: 'CANCELLED' });
  await writeFile(join(desktop.layersDir, merged.at(-1)!.replace('.qcow2', '')), '');
  const failing = join(host.directory, 'failing-qemu-img');
  await writeFile(
    failing,
    '#!/bin/sh\n[ "$1" = rebase ] && { echo "no space left" >&2; exit 1; }\nexec qemu-img "$@"\n',
  );
  await chmod(failing, 0o700);
  await expect(mergeLayers(desktop.layersDir, these, { qemuImg: failing })).rejects.toMatchObject({
    code: 'STORAGE_FAILED',
    message: expect.stringContaining('no space left'),
  });
  expect((await readdir(desktop.layersDir)).filter((file) => file.endsWith('.new'))).toEqual([]);
  await expectUnharmed();
});
