import { setTimeout as sleep } from 'node:timers/promises';
import type { Fence } from '@dormouse/ledger';
import type { JsonObject } from '@dormouse/session';
import { createLogger } from '@dormouse/observability';
import { loadConfig } from '@dormouse/config';
import { watchCancellation } from '../../apps/worker/watch-cancellation';
import { checkpoint, graceMs, LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

const mib = 2 ** 20;
const logger = createLogger('test', loadConfig({ LOG_LEVEL: 'silent' }));

/** Saves to the end, as a worker does that has measured these times. */
async function saveIn(desktopId: string, captureMs: number, frozenMs: number): Promise<void> {
  const { fence } = await fixture.claimOpen(desktopId, 'save');
  expect(await fixture.ledger.authorizeSwitchover(fence)).toBe(true);
  expect(await fixture.ledger.commitCheckpoint(fence, checkpoint())).toBe(true);
  expect(await fixture.ledger.beginRelease(fence)).toBe(true);
  const result = { captureMs, frozenMs, ramBytes: 64 * mib };
  await fixture.ledger.finish(fence, { status: 'succeeded', result });
}

async function wakeIn(desktopId: string, ttrMs: number, hydratedMs: number): Promise<void> {
  const { fence } = await fixture.claimOpen(desktopId, 'restore');
  expect(await fixture.ledger.advance(fence, 'wake')).toBe(true);
  expect(await fixture.ledger.guestRan(fence, { ttrMs })).toBe(true);
  await fixture.ledger.finish(fence, { status: 'succeeded', result: { hydratedMs, memoryBytes: 64 * mib } });
}

const etaOf = async ({ operationId }: Pick<Fence, 'operationId'>) =>
  (await fixture.ledger.viewOperation(operationId)).eta;

test('a save says how many bytes are done, and learns from the last ones of its desktop how long it takes', async () => {
  await fixture.queued('learner');
  await saveIn('learner', 4_000, 1_000);
  await fixture.send('learner', 'connected');
  await wakeIn('learner', 900, 10_000);
  await fixture.send('learner', 'disconnected');
  await fixture.waitOutGrace('learner');
  const { fence } = await fixture.claimOpen('learner', 'save');
  expect(await etaOf(fence)).toMatchObject({ readyMs: null, doneMs: 5_000, learnedFrom: 1, of: 'desktop' });
  await fixture.ledger.progress(fence, { doneBytes: 16 * mib, totalBytes: 64 * mib });
  fixture.nowMs += 2_000;
  // A quarter is done in 2 s: 6 s at this pace, 3/4 of 5 s as it was learned.
  expect(await fixture.ledger.viewOperation(fence.operationId)).toMatchObject({
    progress: { doneBytes: 16 * mib, totalBytes: 64 * mib },
    eta: { doneMs: Math.round(6_000 / 4 + (5_000 * 0.75 * 3) / 4) },
  });
  await fixture.ledger.finish(fence, { status: 'cancelled' });
  expect(await etaOf(fence)).toBeNull();
});

test('a desktop that was never woken learns from its pool when it answers', async () => {
  await fixture.saved('taught');
  await fixture.send('taught', 'connected');
  const { operation } = await fixture.ledger.viewDesktop('taught');
  const { eta } = await fixture.ledger.viewOperation(operation!.id);
  expect(eta).toEqual({
    readyMs: 900,
    doneMs: 10_900,
    spread: { leastMs: 10_000, mostMs: 10_000 },
    learnedFrom: 1,
    of: 'pool',
  });
  fixture.nowMs += 300;
  expect(await etaOf({ operationId: operation!.id })).toMatchObject({ readyMs: 600 });
});

test('nothing is learned from desktops of its pool that are built otherwise', async () => {
  const boots = async (id: string, launchSpec: JsonObject, tookMs: number) => {
    await fixture.hostIsAlive();
    await fixture.ledger.registerDesktop({ id, poolId: 'mixed', launchSpec, actor: 'test' });
    await fixture.work(id, 'register');
    await fixture.ledger.request(id, { kind: 'boot', reason: 'morning', requestedBy: 'test' });
    const { operation } = await fixture.ledger.viewDesktop(id);
    const { eta } = await fixture.ledger.viewOperation(operation!.id);
    const { fence } = await fixture.claimOpen(id, 'boot');
    fixture.nowMs += tookMs;
    await fixture.ledger.finish(fence, { status: 'succeeded' });
    return eta!;
  };
  await fixture.ledger.putPool('mixed', { graceMs, keepCheckpoints: 2 }, 'test');
  const small = { memoryMiB: 64, disks: [{ image: '/srv/small.qcow2' }] };
  const large = { memoryMiB: 4096, disks: [{ image: '/srv/large.qcow2' }] };
  await boots('small-1', small, 10_000);
  expect(await boots('large-1', large, 90_000)).toMatchObject({ learnedFrom: 0, readyMs: null });
  const another = { ...small, nics: [{ mac: '52:54:00:00:00:02' }] };
  expect(await boots('small-2', another, 20_000)).toMatchObject({ learnedFrom: 1, readyMs: 10_000, of: 'pool' });
  expect(await boots('small-3', small, 10_000)).toMatchObject({
    learnedFrom: 2,
    readyMs: 15_000,
    spread: { leastMs: 10_000, mostMs: 20_000 },
  });
});

test('where nobody has ever done it nothing is said', async () => {
  await fixture.ledger.putPool('new', { graceMs, keepCheckpoints: 2 }, 'test');
  await fixture.hostIsAlive();
  const { operation } = await fixture.ledger.registerDesktop({
    id: 'first',
    poolId: 'new',
    launchSpec: { memoryMiB: 64 },
    actor: 'test',
  });
  expect(await etaOf({ operationId: operation!.id })).toEqual({
    readyMs: null,
    doneMs: null,
    spread: null,
    learnedFrom: 0,
    of: null,
  });
});

test('what is learned from is found by an index, however many operations there were', async () => {
  await fixture.dataSource.query(
    `INSERT INTO operations (id, desktop_id, pool_id, kind, phase, status, generation, reason, requested_by, created_at,
       started_at, phase_since, ended_at)
     SELECT gen_random_uuid(), 'old-' || n, 'pool-' || n % 10, 'restore', 'hydrate', 'succeeded', 1, 'x', 'x', now(), now(), now(), now()
     FROM generate_series(1, 20000) n`,
  );
  await fixture.dataSource.query('ANALYZE operations');
  for (const where of [`pool_id = 'pool-1'`, `pool_id = 'none'`]) {
    const plan: { 'QUERY PLAN': string }[] = await fixture.dataSource.query(
      `EXPLAIN SELECT result FROM operations WHERE ${where} AND kind = 'restore' AND status = 'succeeded'
       ORDER BY ended_at DESC LIMIT 20`,
    );
    const text = plan.map((row) => row['QUERY PLAN']).join('\n');
    expect(text).toContain('operations_learned_from');
    expect(text).not.toMatch(/Seq Scan|Sort/);
  }
});

describe('a worker that tells how far it is', () => {
  test('writes twice a second at most, and looks ten times whether to go on', async () => {
    const fence = await fixture.capturing('told');
    const { ledger } = fixture;
    const calls = { goesOn: 0, progress: 0 };
    let doneBytes = 0;
    const watched = {
      goesOn: (of: Fence) => ((calls.goesOn += 1), ledger.goesOn(of)),
      progress: (of: Fence, facts: object) => ((calls.progress += 1), ledger.progress(of, { ...facts })),
    };
    const watch = watchCancellation(watched, fence, () => ({ doneBytes: (doneBytes += 1) }), logger);
    await sleep(1_250);
    watch.stop();
    expect(calls.progress).toBeGreaterThanOrEqual(2);
    expect(calls.progress).toBeLessThanOrEqual(3);
    expect(calls.goesOn).toBeGreaterThan(calls.progress);
    expect(watch.signal.aborted).toBe(false);
  });

  test('when it is over, what was not told yet is written, once', async () => {
    const fence = await fixture.capturing('over');
    let doneBytes = 1;
    const watch = watchCancellation(fixture.ledger, fence, () => ({ doneBytes }), logger);
    const told = async (): Promise<unknown> =>
      (await fixture.ledger.viewOperation(fence.operationId)).progress['doneBytes'];
    while ((await told()) !== 1) await sleep(20);
    doneBytes = 2;
    await watch.finish();
    expect(await told()).toBe(2);
    doneBytes = 3;
    await sleep(700);
    expect(await told()).toBe(2);
  });

  test('writes nothing while nothing has moved, and hears that its user is back all the same', async () => {
    const fence = await fixture.capturing('returned');
    const watch = watchCancellation(fixture.ledger, fence, () => null, logger);
    await fixture.send('returned', 'connected');
    await new Promise((resolve) => watch.signal.addEventListener('abort', resolve));
    watch.stop();
    expect((await fixture.ledger.viewOperation(fence.operationId)).progress).toEqual({});
  });

  test('and was followed by another is not heard any more', async () => {
    const fence = await fixture.capturing('followed');
    const late = { ...fence, attempt: fence.attempt - 1 };
    expect(await fixture.ledger.progress(late, { doneBytes: 1 })).toBe(false);
    expect(await fixture.ledger.goesOn(late)).toBe(false);
    expect(await fixture.ledger.goesOn(fence)).toBe(true);
    expect((await fixture.ledger.viewOperation(fence.operationId)).progress).toEqual({});
  });
});
