import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OnlyOne } from '@dormouse/ledger';
import { createDataSource } from '@dormouse/persistence';
import { putBlob } from '@dormouse/storage';
import { StoredDesktop, StoredHost } from '../fault/stored-desktop';
import { LedgerFixture } from './ledger-fixture';

jest.setTimeout(120_000);

let fixture: LedgerFixture;
let host: StoredHost;

beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture?.stop());
beforeEach(async () => {
  await fixture.dataSource.query('TRUNCATE desktops, operations, checkpoints, disk_generations CASCADE');
  host = await StoredHost.make(fixture);
  await keep(1);
});
afterEach(() => host.remove());

const keep = (keepCheckpoints: number) =>
  fixture.ledger.putPool('default', { graceMs: 10_000, keepCheckpoints }, 'test');

async function objectsOf(desktopId: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of host.store.list(`desktops/${desktopId}/`)) keys.push(key);
  return keys;
}

async function sleepsAndWakes(id: string, times: number): Promise<StoredDesktop> {
  const desktop = await StoredDesktop.boot(host, id);
  for (let n = 0; n < times; n++) {
    await desktop.sleep();
    await desktop.wake();
  }
  return desktop;
}

const states = async (desktopId: string): Promise<string[]> =>
  ((await fixture.rows('checkpoints', desktopId)) as { state: string }[]).map(({ state }) => state).sort();

describe('objects', () => {
  test('of overtaken checkpoints go once their grace is over, and their rows say so', async () => {
    const desktop = await sleepsAndWakes('overtaken', 2);
    const before = await objectsOf('overtaken');
    const graceMs = fixture.nowMs; // since 1970
    expect(await host.objects({ graceMs }).collectAll()).toMatchObject({ desktops: 1, removedObjects: 0 });
    expect(await host.objects({ graceMs }).collectChanged()).toMatchObject({ desktops: 0 });
    expect(await objectsOf('overtaken')).toEqual(before);

    expect(await host.objects().collectChanged()).toMatchObject({ desktops: 1, failures: [], unknownObjects: 0 });
    expect((await objectsOf('overtaken')).filter((key) => key.endsWith('/manifest'))).toHaveLength(1);
    expect(await states('overtaken')).toEqual(['deleted', 'durable']);
    await desktop.expectWhole();
    // Nothing has changed since: nothing is looked at.
    expect(await host.objects().collectChanged()).toMatchObject({ desktops: 0 });
  });

  test('of a checkpoint in its grace stay readable, with the packs of earlier ones that it names', async () => {
    await keep(3);
    const desktop = await sleepsAndWakes('reader', 3);
    const [first, second, third] = await desktop.durable();
    await fixture.dataSource.query(
      `UPDATE checkpoints SET state = 'condemned', condemned_at = $2 WHERE id = ANY ($1)`,
      [[first, second, third].slice(0, 2), new Date(fixture.nowMs + 59_000)],
    );
    await fixture.dataSource.query(`UPDATE checkpoints SET condemned_at = $2 WHERE id = $1`, [
      first,
      new Date(fixture.nowMs),
    ]);
    await host.objects({ graceMs: 30_000 }).collectAll();
    const left = await objectsOf('reader');
    expect(left.some((key) => key.includes(first!) && key.includes('pack-'))).toBe(true);
    expect(left.some((key) => key.includes(first!) && key.includes('manifest'))).toBe(false);
    await fixture.dataSource.query(`UPDATE checkpoints SET state = 'durable', condemned_at = NULL WHERE id = $1`, [
      second,
    ]);
    await desktop.expectWhole();
  });

  test('that a failed save has left go, and a dry run only tells of them', async () => {
    const desktop = await StoredDesktop.boot(host, 'failed');
    await desktop.sleepInVain();
    const left = await objectsOf('failed');
    expect(left.length).toBeGreaterThan(0);
    expect(await host.objects({ dryRun: true }).collectAll()).toMatchObject({ removedObjects: left.length });
    expect(await objectsOf('failed')).toEqual(left);
    expect(await host.objects().collectChanged()).toMatchObject({ removedObjects: left.length });
    expect(await objectsOf('failed')).toEqual([]);
    expect(await states('failed')).toEqual(['deleted']);
  });

  test('of a desktop that was deleted and whose job was lost go', async () => {
    const desktop = await StoredDesktop.boot(host, 'deleted');
    await desktop.sleep();
    await fixture.ledger.deleteDesktop('deleted', 'test');
    expect((await objectsOf('deleted')).length).toBeGreaterThan(0);
    await host.objects().collectChanged();
    expect(await objectsOf('deleted')).toEqual([]);
    // And what a pager that was late has written since: only a full round sees it.
    const { id } = ((await fixture.rows('checkpoints', 'deleted')) as { id: string }[])[0]!;
    await putBlob(host.store, `desktops/deleted/checkpoints/${id}/pack-00007`, Buffer.alloc(10));
    expect(await host.objects().collectChanged()).toMatchObject({ desktops: 0 });
    expect(await host.objects().collectAll()).toMatchObject({ removedObjects: 1 });
  });

  test('of checkpoints that this database has never heard of are left alone, and told of', async () => {
    await sleepsAndWakes('known', 1);
    const foreign = `desktops/foreign/checkpoints/${randomUUID()}/manifest`;
    const forgotten = `desktops/known/checkpoints/${randomUUID()}/pack-00000`;
    for (const key of [foreign, forgotten]) await putBlob(host.store, key, Buffer.alloc(10));
    expect(await host.objects().collectAll()).toMatchObject({ removedObjects: 0, unknownObjects: 2, failures: [] });
    for (const key of [foreign, forgotten]) expect(await host.store.stat(key)).toMatchObject({ bytes: 10 });
  });

  test('of a desktop with a kept manifest that cannot be read stay, all of them; others are collected', async () => {
    const damaged = await sleepsAndWakes('damaged', 2);
    await sleepsAndWakes('sound', 2);
    const before = await objectsOf('damaged');
    const [kept] = await damaged.durable();
    await writeFile(join(host.directory, 'storage', `desktops/damaged/checkpoints/${kept}/manifest`), 'no manifest\n');
    const report = await host.objects().collectAll();
    expect(report.failures).toEqual([
      { desktopId: 'damaged', code: 'CHECKPOINT_CORRUPT', message: expect.stringContaining('manifest') },
    ]);
    expect(report.removedObjects).toBeGreaterThan(0);
    expect(await objectsOf('damaged')).toEqual(before);
    expect(await host.layers().collectAll(true)).toMatchObject({ failures: [{ desktopId: 'damaged' }] });
  });

  test('may be collected by several at once', async () => {
    const desktops = await Promise.all(['one', 'two'].map((id) => sleepsAndWakes(id, 3)));
    const reports = await Promise.all([1, 2, 3].map(() => host.objects().collectAll()));
    expect(reports.flatMap(({ failures }) => failures)).toEqual([]);
    for (const desktop of desktops) {
      await desktop.expectWhole();
      expect(await states(desktop.id)).toEqual(['deleted', 'deleted', 'durable']);
    }
  });
});

describe('disk layers', () => {
  const layersOf = async (desktopId: string): Promise<string[]> =>
    (await readdir(join(host.disksDir, desktopId))).sort();

  test('stay few however often a desktop sleeps, with the content of every layer that is needed', async () => {
    const desktop = await StoredDesktop.boot(host, 'sleeper');
    for (let n = 0; n < 8; n++) {
      await desktop.sleep();
      await desktop.wake();
      const { diskGeneration } = await fixture.ledger.viewDesktop('sleeper');
      const generations = [diskGeneration!, ...(await fixture.ledger.keptGenerations('sleeper'))];
      const before = await Promise.all(generations.map((one) => desktop.diskContent(one)));
      await host.objects().collectChanged();
      expect(await host.layers().collectAll(true)).toMatchObject({ failures: [] });
      expect((await layersOf('sleeper')).length).toBeLessThanOrEqual(6);
      const after = await Promise.all(generations.map((one) => desktop.diskContent(one)));
      expect(after.map((content, at) => content.equals(before[at]!))).toEqual(generations.map(() => true));
      for (const file of await layersOf('sleeper')) {
        await promisify(execFile)('qemu-img', ['check', '-q', join(desktop.layersDir, file)]);
      }
      await desktop.expectWhole();
    }
    const rows: { id: string; parent_id: string | null }[] = await fixture.dataSource.query(
      `SELECT id, parent_id FROM disk_generations WHERE desktop_id = 'sleeper'`,
    );
    expect(rows.map(({ id }) => `${id}.0.qcow2`).sort()).toEqual(await layersOf('sleeper'));
    const ids = rows.map(({ id }) => id);
    for (const { parent_id } of rows) if (parent_id !== null) expect(ids).toContain(parent_id);
  });

  test('that were merged into another stay until their grace is over', async () => {
    await sleepsAndWakes('merged', 4);
    await fixture.dataSource.query(`UPDATE checkpoints SET condemned_at = '2020-01-01' WHERE state = 'condemned'`);
    const before = await layersOf('merged');
    const merged = await host.layers({ graceMs: 3_600_000 }).collectAll(true);
    expect(merged).toMatchObject({ removedLayers: 0, pending: ['merged'] });
    expect(merged.mergedLayers).toBeGreaterThan(0);
    expect(await layersOf('merged')).toEqual(before);
    const later = await host.layers().collect(['merged'], true);
    expect(later).toMatchObject({ removedLayers: merged.mergedLayers, mergedLayers: 0, pending: [] });
  });

  test('are not merged while an operation is open, nor by a dry run, nor by another host', async () => {
    const desktop = await sleepsAndWakes('busy', 4);
    await desktop.sleep();
    await fixture.send('busy', 'connected'); // opens a restore that nobody claims
    expect(await host.layers().collectAll(true)).toMatchObject({ mergedLayers: 0, pending: ['busy'] });
    await fixture.dataSource.query(`UPDATE desktops SET host_id = 'host-2' WHERE id = 'busy'`);
    const before = await layersOf('busy');
    const nothing = { mergedLayers: 0, removedLayers: 0, pending: [], failures: [] };
    expect(await host.layers().collectAll(true)).toMatchObject(nothing);
    await fixture.dataSource.query(`UPDATE desktops SET host_id = 'host-1' WHERE id = 'busy'`);
    expect(await host.layers({ dryRun: true }).collectAll(true)).toMatchObject({ mergedLayers: 0 });
    expect(await layersOf('busy')).toEqual(before);
  });

  test('that were not finished go when nobody is at them any more', async () => {
    const desktop = await sleepsAndWakes('unfinished', 1);
    const files = ['x.0.qcow2.new', 'y.0.qcow2.new'].map((name) => join(desktop.layersDir, name));
    for (const file of files) await writeFile(file, 'half');
    const minute = new Date(fixture.nowMs - 1_000);
    await utimes(files[0]!, minute, minute);
    const lately = new Date(fixture.nowMs + 59_000);
    await utimes(files[1]!, lately, lately);
    await host.layers().collectAll(true);
    expect((await layersOf('unfinished')).filter((file) => file.endsWith('.new'))).toEqual(['y.0.qcow2.new']);
  });

  test('of a deleted desktop whose job was lost go; of one this database has never heard of they stay', async () => {
    const desktop = await StoredDesktop.boot(host, 'lost');
    await desktop.sleep();
    await fixture.ledger.deleteDesktop('lost', 'test');
    await cp(desktop.layersDir, join(host.disksDir, 'stranger'), { recursive: true });
    await mkdir(join(host.disksDir, '.examine-lost'));
    expect(await host.layers({ graceMs: 3_600_000 }).collectAll(true)).toMatchObject({ forgotten: [] });
    expect(await host.layers({ dryRun: true }).collectAll(true)).toMatchObject({ forgotten: ['lost'] });
    expect(await host.layers().collectAll(true)).toMatchObject({ forgotten: ['lost'], failures: [] });
    expect((await readdir(host.disksDir)).sort()).toEqual(['.examine-lost', 'stranger']);
  });
});

test('one process at a time has the duty, and another one when its connection is gone', async () => {
  const other = await createDataSource(fixture.postgres.url, { poolSize: 2 }).initialize();
  const [first, second] = [fixture.dataSource, other].map((source) => new OnlyOne(source, 'collect the storage'));
  expect([await first!.isOurs(), await second!.isOurs(), await first!.isOurs()]).toEqual([true, false, true]);
  await first!.leave();
  expect([await second!.isOurs(), await first!.isOurs()]).toEqual([true, false]);
  await other.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()`,
  );
  await expect(second!.isOurs()).rejects.toThrow();
  expect(await first!.isOurs()).toBe(true);
  expect(await second!.isOurs()).toBe(false);
  await first!.leave();
  await other.destroy();
});
