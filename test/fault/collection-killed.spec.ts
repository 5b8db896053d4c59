import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LedgerFixture } from '../integration/ledger-fixture';
import { StoredDesktop, StoredHost } from './stored-desktop';

/** A collection of garbage that dies, at every step it has and at any moment, loses nothing that is kept. */

jest.setTimeout(240_000);

let fixture: LedgerFixture;
let host: StoredHost;
let desktop: StoredDesktop;

beforeAll(async () => {
  fixture = await LedgerFixture.start();
  await fixture.ledger.putPool('default', { graceMs: 10_000, keepCheckpoints: 2 }, 'test');
  host = await StoredHost.make(fixture);
  desktop = await StoredDesktop.boot(host, 'ada');
  for (let n = 0; n < 3; n++) {
    await desktop.sleep();
    await desktop.wake();
  }
  await desktop.sleepInVain();
  await desktop.sleep();
  for (const folder of ['storage', 'disks']) await cp(join(host.directory, folder), kept(folder), { recursive: true });
});
afterAll(async () => {
  await host?.remove();
  await fixture?.stop();
});

const kept = (folder: string): string => join(host.directory, `${folder}-before`);

/** Everything is as it was before any collection. */
async function asBefore(): Promise<void> {
  for (const folder of ['storage', 'disks']) {
    await rm(join(host.directory, folder), { recursive: true });
    await cp(kept(folder), join(host.directory, folder), { recursive: true });
  }
  await fixture.dataSource.query(`UPDATE checkpoints SET state = 'condemned' WHERE state = 'deleted'`);
}

async function objects(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of host.store.list('')) keys.push(key);
  return keys.sort();
}

/** What a collection that is not disturbed leaves. */
async function expectFinished(left: readonly string[]): Promise<void> {
  expect(await host.objects().collectChanged()).toMatchObject({ failures: [] });
  expect(await objects()).toEqual(left);
  expect(await fixture.ledger.desktopsWithCondemned(new Date(fixture.nowMs + 60_000))).toEqual([]);
  await desktop.expectWhole();
}

/** Answers `most` calls, of whatever it is asked; then, as to a process that is killed, nothing any more. */
function mortal(most: number) {
  let calls = 0;
  const mortally = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(of, name) {
        const member: unknown = Reflect.get(of, name);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]): unknown => {
          calls++;
          if (calls > most) throw new Error('killed');
          return (member as (...all: unknown[]) => unknown).apply(of, args);
        };
      },
    });
  return { mortally, died: () => calls > most };
}

test('killed at any step it leaves every kept checkpoint whole, and the next one finishes the job', async () => {
  await host.objects().collectAll();
  const left = await objects();
  expect(await desktop.durable()).toHaveLength(2);

  let steps = 0;
  for (; ; steps++) {
    await asBefore();
    const before = (await objects()).length;
    const { mortally, died } = mortal(steps);
    const collector = host.objects({ store: mortally(host.store), ledger: mortally(fixture.ledger) });
    await collector.collectAll().catch((error: Error) => expect(error.message).toBe('killed'));
    const removed = before - (await objects()).length;
    await desktop.expectWhole();
    await expectFinished(left);
    if (!died()) break;
    expect(removed).toBeLessThanOrEqual(before - left.length);
  }
  // Lists, a question, two manifests, and more objects than two checkpoints and a failed save can do without.
  expect(steps).toBeGreaterThan(15);
});

test('killed with SIGKILL at any moment, layers included, it leaves every kept checkpoint whole', async () => {
  await asBefore();
  await host.objects().collectAll();
  const left = await objects();
  const program = ['--require', join(__dirname, '../contract/typescript.cjs'), join(__dirname, 'garbage-process.ts')];
  let killed = 0;
  for (const afterMs of [0, 60, 150, 250, 400, 700]) {
    await asBefore();
    const now = String(fixture.nowMs + 60_000);
    const parameters = ['collect', fixture.postgres.url, host.storeUrl, host.disksDir, now];
    const child = spawn(process.execPath, [...program, ...parameters], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    await sleep(afterMs);
    child.kill('SIGKILL');
    const [, signal] = (await ended) as [number | null, string | null];
    if (signal === 'SIGKILL') killed++;
    await desktop.expectWhole();
    await expectFinished(left);
    expect(await host.layers().collectAll(true)).toMatchObject({ failures: [] });
    await desktop.expectWhole();
  }
  expect(killed).toBeGreaterThan(2);
});
