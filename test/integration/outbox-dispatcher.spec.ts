import { OutboxDispatcher, sessionQueue } from '@dormouse/jobs';
import { eventually, RedisFixture, silent } from './jobs-fixture';
import { graceMs, LedgerFixture } from './ledger-fixture';

let fixture: LedgerFixture;
let redis: RedisFixture;
const dispatchers: OutboxDispatcher[] = [];

beforeAll(async () => {
  fixture = await LedgerFixture.start();
  redis = await RedisFixture.start(fixture.directory);
});
afterEach(async () => {
  for (const dispatcher of dispatchers.splice(0)) await dispatcher.stop();
});
afterAll(async () => {
  await redis.stop();
  await fixture.stop();
});

const hostOne = 'host.host-1';
const background = 'host.host-1.background';

function startDispatcher(sweepMs = 60_000): OutboxDispatcher {
  const dispatcher = new OutboxDispatcher({
    dataSource: fixture.dataSource,
    redis: redis.socketPath,
    log: silent,
    sweepMs,
  });
  dispatchers.push(dispatcher);
  dispatcher.start();
  return dispatcher;
}

/** Of a desktop, and not for a time. */
async function waiting(desktopId: string): Promise<number> {
  const [row] = await fixture.dataSource.query(
    `SELECT count(*)::int AS count FROM outbox WHERE payload->>'desktopId' = $1 AND dispatched_at IS NULL AND wait_until <= now()`,
    [desktopId],
  );
  return row.count;
}

test('what was committed before the dispatcher started is brought into the queues', async () => {
  await fixture.saved('early');
  await fixture.send('early', 'connected');
  const { generation } = await fixture.ledger.viewDesktop('early');
  startDispatcher();
  await eventually(async () => (await waiting('early')) === 0);
  expect(await redis.jobIds(hostOne)).toContain(`restore-early-${generation}`);
});

test('a nudge is enough; nobody waits for the sweep', async () => {
  const dispatcher = startDispatcher();
  await fixture.queued('nudged');
  dispatcher.nudge();
  await eventually(async () => (await waiting('nudged')) === 0);
});

test('what no nudge was heard for is found by the sweep', async () => {
  startDispatcher(100);
  await fixture.queued('unheard');
  await eventually(async () => (await waiting('unheard')) === 0);
});

test('a wake that was asked for ahead is moved forward when its user comes, and is there once', async () => {
  const priorityOf = (jobId: string) =>
    redis.with(hostOne, async (queue) => (await queue.getJob(jobId))?.priority ?? null);
  const order = () =>
    redis.with(hostOne, async (queue) => (await queue.getPrioritized()).map(({ id }) => id!.replace(/-\d+$/, '')));
  const dispatcher = startDispatcher();
  for (const id of ['ahead-1', 'ahead-2']) {
    await fixture.saved(id);
    fixture.nowMs = Date.now(); // a job of a later moment would be delayed
    await fixture.ledger.prewarm(id, { reason: 'morning', requestedBy: 'anna' });
    dispatcher.nudge();
    await eventually(async () => (await waiting(id)) === 0);
  }
  const { generation } = await fixture.ledger.viewDesktop('ahead-2');
  const jobId = `restore-ahead-2-${generation}`;
  expect(await priorityOf(jobId)).toBe(2);
  await fixture.send('ahead-2', 'connect_requested');
  dispatcher.nudge();
  await eventually(async () => (await priorityOf(jobId)) === 1);
  const found = (await order()).filter((id) => id.startsWith('restore-ahead'));
  expect(found).toEqual(['restore-ahead-2', 'restore-ahead-1']);
  await fixture.send('ahead-2', 'connected');
  expect(await waiting('ahead-2')).toBe(0);
});

test('one that is hastened before it was dispatched is there once, in its place', async () => {
  await fixture.saved('hastened');
  fixture.nowMs = Date.now();
  await fixture.ledger.prewarm('hastened', { reason: 'morning', requestedBy: 'anna' });
  await fixture.send('hastened', 'connected');
  startDispatcher();
  await eventually(async () => (await waiting('hastened')) === 0);
  const jobs = await redis.with(hostOne, (queue) => queue.getPrioritized());
  expect(jobs.filter(({ id }) => id?.startsWith('restore-hastened')).map(({ priority }) => priority)).toEqual([1]);
});

test('a grace waits in the database, and comes into its queue when it is over, not before and hardly after', async () => {
  startDispatcher();
  fixture.nowMs = Date.now();
  const id = await fixture.inUse('timed');
  await fixture.ledger.putPool('default', { graceMs: 1_700, keepCheckpoints: 2 }, 'test');
  await fixture.send(id, 'disconnected');
  const armedMs = performance.now();
  const timer = `grace-${id}-${(await fixture.ledger.viewDesktop(id)).generation}`;
  await eventually(async () => (await redis.jobIds(sessionQueue)).includes(timer));
  expect(performance.now() - armedMs).toBeGreaterThan(1_500);
  await eventually(async () => (await waiting(id)) === 0);
  expect(await redis.with(sessionQueue, async (queue) => (await queue.getJob(timer))?.delay)).toBe(0);
  await fixture.ledger.putPool('default', { graceMs, keepCheckpoints: 2 }, 'test');
});

test('nothing is left of a grace that was called off while it was in its queue', async () => {
  const dispatcher = startDispatcher(100);
  fixture.nowMs = Date.now();
  const { generation } = await fixture.ledger.viewDesktop(await fixture.inGrace('called-off'));
  const timer = `grace-called-off-${generation}`;
  await fixture.dataSource.query('UPDATE outbox SET wait_until = now() WHERE job_id = $1', [timer]);
  await eventually(async () => (await redis.jobIds(sessionQueue)).includes(timer));
  await eventually(async () => (await waiting('called-off')) === 0);
  await fixture.send('called-off', 'reconnected');
  dispatcher.nudge();
  await eventually(async () => (await waiting('called-off')) === 0);
  expect((await redis.jobIds(sessionQueue)).filter((id) => id.includes('called-off'))).toEqual([]);
});

test('a job that is to be tried again by a clock that was set back since is brought forward', async () => {
  await fixture.saved('set-back');
  fixture.nowMs = Date.now();
  await fixture.send('set-back', 'connected');
  startDispatcher(50);
  await eventually(async () => (await waiting('set-back')) === 0);
  const { operation } = await fixture.ledger.viewDesktop('set-back');
  const jobId = `restore-set-back-${operation!.generation}`;
  // As a worker leaves it whose clock was an hour ahead when it put the job back.
  await redis.with(hostOne, async (queue) => {
    const { opts, data, name } = (await queue.getJob(jobId))!;
    await queue.remove(jobId);
    await queue.add(name, data, { ...opts, jobId, delay: 3_600_000 });
  });
  await fixture.ledger.requeueForgotten({ waitingMs: -1, overdueMs: 5_000 });
  await eventually(async () => (await redis.with(hostOne, (queue) => queue.getDelayed())).length === 0);
  expect(await redis.jobIds(hostOne)).toContain(jobId);
});

test('a grace called off before it was dispatched leaves nothing either', async () => {
  await fixture.inGrace('hasty');
  await fixture.send('hasty', 'reconnected');
  startDispatcher();
  await eventually(async () => (await waiting('hasty')) === 0);
  expect((await redis.jobIds(sessionQueue)).filter((id) => id.includes('hasty'))).toEqual([]);
});

test('many dispatchers and a repeated row make one job', async () => {
  const names = Array.from({ length: 8 }, (_, index) => `shared-${index}`);
  for (const name of names) await fixture.queued(name);
  for (let count = 0; count < 3; count += 1) startDispatcher(50);
  await eventually(async () => (await Promise.all(names.map(waiting))).every((count) => count === 0));
  // As after a crash between the add and the mark.
  await fixture.dataSource.query(`UPDATE outbox SET dispatched_at = NULL WHERE name = 'save'`);
  await eventually(async () => (await Promise.all(names.map(waiting))).every((count) => count === 0));
  const saves = (await redis.jobIds(background)).filter((id) => id.startsWith('save-shared'));
  expect(saves).toHaveLength(names.length);
});

test('a row of a kind that this version does not know waits, and holds nobody up', async () => {
  await fixture.dataSource.query(
    `INSERT INTO outbox (action, queue, name, job_id, payload, run_at, created_at)
     VALUES ('add', 'host.host-1', 'prewarm', 'prewarm-future-1', '{"desktopId": "future"}', now(), now())`,
  );
  await fixture.queued('behind-future');
  startDispatcher(50);
  await eventually(async () => (await waiting('behind-future')) === 0);
  expect(await waiting('future')).toBe(1);
  await fixture.dataSource.query(`DELETE FROM outbox WHERE name = 'prewarm'`);
});

describe('while Redis is away', () => {
  test('nobody waits for the dispatcher, and it goes on when Redis is back', async () => {
    const dispatcher = startDispatcher(50);
    await fixture.queued('before');
    await eventually(async () => (await waiting('before')) === 0);
    await redis.stop();

    const started = performance.now();
    await fixture.queued('meanwhile');
    dispatcher.nudge();
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(await waiting('meanwhile')).toBeGreaterThan(0);

    await redis.startAgain({ empty: false });
    await eventually(async () => (await waiting('meanwhile')) === 0);
    const { generation } = await fixture.ledger.viewDesktop('meanwhile');
    expect(await redis.jobIds(background)).toContain(`save-meanwhile-${generation}`);
  });

  test('a dispatcher starts, waits, and stops all the same', async () => {
    await redis.stop();
    const dispatcher = startDispatcher(20);
    await fixture.queued('lonely');
    dispatcher.nudge();
    const started = performance.now();
    await dispatcher.stop();
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(await waiting('lonely')).toBeGreaterThan(0);
    await redis.startAgain({ empty: true });
    startDispatcher();
    await eventually(async () => (await waiting('lonely')) === 0);
  });
});
