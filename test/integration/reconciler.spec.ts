import { OutboxDispatcher, Reconciler, sessionQueue } from '@dormouse/jobs';
import { createMetrics } from '@dormouse/observability';
import { eventually, RedisFixture, silent } from './jobs-fixture';
import { graceMs, leaseMs, LedgerFixture } from './ledger-fixture';

const background = 'host.host-1.background';
const waitingMs = 30_000;
const overdueMs = 5_000;

const metrics = createMetrics('test');
let fixture: LedgerFixture;
let redis: RedisFixture;
let dispatcher: OutboxDispatcher;
let reconciler: Reconciler;
const told: object[] = [];

beforeEach(async () => {
  fixture = await LedgerFixture.start();
  redis = await RedisFixture.start(fixture.directory);
  dispatcher = new OutboxDispatcher({
    dataSource: fixture.dataSource,
    redis: redis.socketPath,
    log: silent,
    sweepMs: 50,
  });
  dispatcher.start();
  told.splice(0);
  const log = { ...silent, info: (fields: object) => void told.push(fields) };
  reconciler = new Reconciler({ ledger: fixture.ledger, log, metrics, waitingMs, overdueMs });
});
afterEach(async () => {
  await dispatcher.stop();
  await redis.stop();
  await fixture.stop();
});

async function allDispatched(): Promise<void> {
  await eventually(async () => {
    const [row] = await fixture.dataSource.query(
      'SELECT count(*)::int AS count FROM outbox WHERE dispatched_at IS NULL AND wait_until <= now()',
    );
    return row.count === 0;
  });
}

test('a Redis that comes back empty gets every open operation and every deadline again', async () => {
  await fixture.queued('queued');
  await fixture.inGrace('graced');
  await fixture.capturing('worked-on');
  await fixture.saved('asleep');
  await allDispatched();
  await redis.stop();
  await redis.startAgain({ empty: true });
  expect(await redis.jobIds(background)).toEqual([]);

  fixture.nowMs += waitingMs + overdueMs + graceMs + leaseMs;
  expect(await reconciler.reconcile()).toBe(3);
  expect(told).toEqual([
    { repair: 'requeued', count: 3, desktops: expect.arrayContaining(['queued', 'worked-on', 'graced']) as unknown },
  ]);
  await allDispatched();
  expect((await redis.jobIds(background)).map((id) => id.replace(/-\d+$/, ''))).toEqual([
    'save-queued',
    'save-worked-on',
  ]);
  expect((await redis.jobIds(sessionQueue)).map((id) => id.replace(/-\d+$/, ''))).toEqual(['grace-graced']);
});

test('work that is on its way or in good hands is left alone', async () => {
  await fixture.queued('just-queued');
  const fence = await fixture.capturing('held');
  await fixture.inGrace('within-grace');
  expect(await reconciler.reconcile()).toBe(0);
  fixture.nowMs += leaseMs - 1_000;
  await fixture.ledger.renew([fence.operationId], 'worker-1', leaseMs);
  fixture.nowMs += 2_000;
  await fixture.ledger.graceElapsed('within-grace', (await fixture.ledger.viewDesktop('within-grace')).generation);
  expect(await reconciler.reconcile()).toBe(0);
});

test('repeated sweeps put no second job beside one that waits', async () => {
  await fixture.queued('patient');
  await allDispatched();
  for (let sweep = 0; sweep < 3; sweep += 1) {
    fixture.nowMs += waitingMs + 1_000;
    expect(await reconciler.reconcile()).toBe(1);
    await allDispatched();
  }
  expect((await redis.jobIds(background)).filter((id) => id.startsWith('save-patient-'))).toHaveLength(1);
  const actions = (await fixture.outbox('patient')).filter(({ jobId }) => jobId.startsWith('save-'));
  expect(actions.map(({ action }) => action)).toEqual(['add', 'hasten']);
});

test('what a dead worker held is given out again once its lease has run out', async () => {
  const { desktopId, operationId, generation } = await fixture.capturing('orphan');
  await allDispatched();
  await redis.with(background, (queue) => queue.obliterate({ force: true }));
  fixture.nowMs += leaseMs + 1;
  expect(await reconciler.reconcile()).toBe(1);
  await allDispatched();
  expect(await redis.jobIds(background)).toEqual([`save-${desktopId}-${generation}`]);
  expect(await fixture.ledger.claim(operationId, generation, 'worker-2', leaseMs)).toMatchObject({ takenOver: true });
});

test('messages are forgotten when nobody can need them, webhook ids not before a week', async () => {
  const id = await fixture.off('forgetful');
  await fixture.send(id, 'idle');
  await allDispatched();
  const sixDaysMs = 6 * 24 * 3_600_000;
  fixture.nowMs += sixDaysMs;
  await reconciler.reconcile();
  expect(await fixture.outbox(id)).toEqual([]);
  expect(await fixture.rows('inbox_events', id)).toHaveLength(1);
  fixture.nowMs += sixDaysMs;
  await reconciler.reconcile();
  expect(await fixture.rows('inbox_events', id)).toEqual([]);
});

test('it sweeps by itself from start to stop', async () => {
  await fixture.queued('swept');
  fixture.nowMs += waitingMs + 1_000;
  await fixture.dataSource.query('DELETE FROM outbox');
  const sweeping = new Reconciler({ ledger: fixture.ledger, log: silent, metrics, waitingMs, overdueMs, sweepMs: 20 });
  sweeping.start();
  await eventually(async () => (await fixture.outbox('swept')).length === 1);
  await sweeping.stop();
  await fixture.dataSource.query('DELETE FROM outbox');
  expect(await fixture.outbox('swept')).toEqual([]);
});
