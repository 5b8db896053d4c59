import { randomUUID } from 'node:crypto';
import { graceMs, LedgerFixture } from './ledger-fixture';

const minuteMs = 60_000;

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

const at = (ms: number) => new Date(fixture.nowMs + ms).toISOString();
const putPool = (changes: object = {}, id = 'default') =>
  fixture.ledger.putPool(id, { graceMs, keepCheckpoints: 2, ...changes }, 'test');
const timers = async (id: string) => (await fixture.outbox(id)).filter(({ jobId }) => jobId.startsWith('grace-'));

afterEach(() => putPool());

test('the same policy again is no edit: nothing is decided anew', async () => {
  const id = await fixture.inGrace('same-policy');
  const pools = () => fixture.dataSource.query<{ version: number }[]>('SELECT id, version FROM pools ORDER BY id');
  const before = [await pools(), await fixture.ledger.viewDesktop(id)];
  fixture.nowMs += 1_000;
  await putPool();
  expect([await pools(), await fixture.ledger.viewDesktop(id)]).toEqual(before);
});

describe('a policy that is edited', () => {
  test('moves the deadlines of graces that run at once, with their timers', async () => {
    const id = await fixture.inGrace('edited');
    const before = await fixture.ledger.viewDesktop(id);
    await putPool({ graceMs: 30 * minuteMs });
    const after = await fixture.ledger.viewDesktop(id);
    expect(after).toMatchObject({ state: 'grace', graceDeadline: at(30 * minuteMs) });
    expect(await timers(id)).toEqual([
      expect.objectContaining({ action: 'add', jobId: `grace-${id}-${after.generation}` }),
    ]);
    await fixture.ledger.graceElapsed(id, before.generation);
    expect(await fixture.state(id)).toBe('grace');
  });

  test('takes what it forbids out of the queue, and lets it be put to sleep again when it does not', async () => {
    const id = await fixture.queued('forbidden');
    await putPool({ neverSave: true });
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({
      state: 'running',
      operation: null,
      graceDeadline: null,
    });
    const [last] = await fixture.ledger.listOperations(id);
    expect(last).toMatchObject({ kind: 'save', status: 'cancelled', error: { code: 'CANCELLED' } });
    await putPool();
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'grace', graceDeadline: at(0) });
  });

  test('by a process that is killed right after is applied by the next sweep, once', async () => {
    const id = await fixture.inGrace('edited-and-killed');
    await fixture.ledger.applyPoolChanges();
    await fixture.dataSource.query(
      `UPDATE pools SET policy = policy || '{"graceMs": 99000}', version = version + 1 WHERE id = 'default'`,
    );
    expect(await fixture.ledger.applyPoolChanges()).not.toEqual([]);
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ graceDeadline: at(99_000) });
    expect(await fixture.ledger.applyPoolChanges()).toHaveLength(0);
  });
});

test('why a user has left is kept, and decides how long the desktop waits', async () => {
  await putPool({ graceMsByReason: { network: 20 * minuteMs } });
  const id = await fixture.inUse('by-reason');
  await fixture.send(id, 'disconnected', { reason: 'network' });
  expect(await fixture.ledger.viewDesktop(id)).toMatchObject({
    state: 'grace',
    absence: { since: at(0), cause: 'network' },
    graceDeadline: at(20 * minuteMs),
  });
});

test('a logoff powers off: a stop in the queue of the host', async () => {
  await putPool({ logoff: { action: 'power-off' } });
  const id = await fixture.inUse('logged-off');
  await fixture.send(id, 'logged_off');
  expect(await fixture.state(id)).toBe('running');
  await fixture.send(id, 'disconnected');
  const { generation } = await fixture.ledger.viewDesktop(id);
  fixture.nowMs += 3_000;
  await fixture.ledger.graceElapsed(id, generation);
  await fixture.work(id, 'stop');
  expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'off', lastError: null });
});

test('a fresh save joins one under way, and is the next one when that is called off', async () => {
  const fence = await fixture.capturing('fresh');
  const fresh = { kind: 'save', reason: 'before the upgrade', requestedBy: 'anna', fresh: true } as const;
  const { operation, joined } = await fixture.ledger.request('fresh', fresh);
  const again = { requestedBy: 'anna', reason: 'before the upgrade', forced: false };
  expect([operation.id, joined, operation.again]).toEqual([fence.operationId, true, again]);
  await fixture.ledger.request('fresh', { ...fresh, requestedBy: 'bob' });
  await fixture.ledger.finish(fence, { status: 'cancelled' });
  expect(await fixture.ledger.viewDesktop('fresh')).toMatchObject({
    state: 'queued',
    operation: { requestedBy: 'anna', reason: 'before the upgrade', again: null },
  });
  expect(await fixture.ledger.viewOperation(fence.operationId)).toMatchObject({ status: 'cancelled', again });
});

describe('a desktop that lingers', () => {
  const lingerMs = 5 * minuteMs;
  const resumes = async (id: string) =>
    (await fixture.outbox(id)).filter(({ jobId }) => /^save-.*-\d+-\d+$/.test(jobId));

  beforeEach(() => putPool({ lingerMs }));

  test('is in nobody’s hands, found by no sweep, and let go by whoever is called when its time is over', async () => {
    const { desktopId, operationId, generation } = await fixture.lingering('lingers');
    const [resume] = await resumes(desktopId);
    expect(resume).toMatchObject({ queue: 'host.host-1.background', runAt: new Date(fixture.nowMs + lingerMs) });
    fixture.nowMs += lingerMs - 1_000;
    const before = await fixture.outbox(desktopId);
    await fixture.ledger.requeueForgotten({ waitingMs: 0, overdueMs: 0 });
    expect(await fixture.outbox(desktopId)).toEqual(before);

    fixture.nowMs += 1_000;
    const successor = await fixture.ledger.claim(operationId, generation, 'worker-2', 15_000);
    expect(successor).toMatchObject({ takenOver: true, desktop: { state: 'resident' } });
    expect(await fixture.ledger.linger(successor!.fence)).toBeNull();
    expect(await fixture.ledger.beginRelease(successor!.fence)).toBe(true);
    await fixture.ledger.finish(successor!.fence, { status: 'succeeded' });
    expect(await fixture.state(desktopId)).toBe('saved');
  });

  test('that is claimed too early lingers on', async () => {
    const { desktopId, operationId, generation } = await fixture.lingering('lingers-on');
    const early = await fixture.ledger.claim(operationId, generation, 'worker-2', 15_000);
    expect(await fixture.ledger.linger(early!.fence)).toEqual(new Date(fixture.nowMs + lingerMs));
    expect(await fixture.ledger.viewDesktop(desktopId)).toMatchObject({
      state: 'resident',
      operation: { phase: 'linger' },
    });
  });

  test('is taken up at once when its user returns, and runs on with its old checkpoint gone', async () => {
    const { desktopId, operationId, generation } = await fixture.lingering('lingers-and-back');
    await fixture.send(desktopId, 'reconnected');
    expect((await resumes(desktopId)).at(-1)).toMatchObject({ runAt: new Date(fixture.nowMs) });
    const { fence } = (await fixture.ledger.claim(operationId, generation, 'worker-2', 15_000))!;
    expect(await fixture.ledger.linger(fence)).toBeNull();
    expect(await fixture.ledger.beginRelease(fence)).toBe(false);
    await fixture.ledger.finish(fence, { status: 'cancelled' });
    expect(await fixture.ledger.viewDesktop(desktopId)).toMatchObject({ state: 'running', checkpointId: null });
  });

  test('is let go at once when somebody wants it away', async () => {
    const { desktopId } = await fixture.lingering('lingers-no-more');
    const forced = { kind: 'save', reason: 'shutdown', requestedBy: 'anna', force: true } as const;
    expect(await fixture.ledger.request(desktopId, forced)).toMatchObject({ joined: true });
    expect((await resumes(desktopId)).at(-1)).toMatchObject({ runAt: new Date(fixture.nowMs) });
  });
});

describe('a hold', () => {
  const hold = (id: string, ms: number | null) =>
    fixture.ledger.holdDesktop(id, {
      until: ms === null ? null : new Date(fixture.nowMs + ms),
      reason: 'a long computation',
      actor: 'anna',
    });

  test('keeps a desktop from being put to sleep, and says who wants it so', async () => {
    const id = await fixture.inGrace('held');
    expect(await hold(id, 10 * minuteMs)).toMatchObject({
      hold: { until: at(10 * minuteMs), by: 'anna', reason: 'a long computation' },
      graceDeadline: at(10 * minuteMs),
    });
    const save = { kind: 'save', reason: 'test', requestedBy: 'anna' } as const;
    await expect(fixture.ledger.request(id, save)).rejects.toMatchObject({ code: 'DESKTOP_HELD' });
    expect(await hold(id, null)).toMatchObject({ hold: null, graceDeadline: at(graceMs) });
  });

  test.each([-1, 400 * 24 * 60 * minuteMs])('of %d ms is refused', async (ms) => {
    await expect(hold('held', ms)).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });
});

describe('a cancellation', () => {
  const cancel = (operationId: string) =>
    fixture.ledger.cancelOperation(operationId, { reason: 'not now', requestedBy: 'anna' });
  const openOf = async (id: string) => (await fixture.ledger.viewDesktop(id)).operation!;

  test('of a save that waits ends it, takes its job back, and keeps who wanted it', async () => {
    const id = await fixture.queued('cancel-queued');
    const { id: operationId, generation } = await openOf(id);
    expect(await cancel(operationId)).toMatchObject({
      status: 'cancelled',
      error: { code: 'CANCELLED', message: 'anna has called it off: not now' },
    });
    expect(await fixture.outbox(id)).not.toContainEqual(expect.objectContaining({ jobId: `save-${id}-${generation}` }));
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'grace', graceDeadline: at(graceMs) });
  });

  test('of a save under way reaches its worker, and its reason stays with the operation', async () => {
    const fence = await fixture.capturing('cancel-saving');
    expect(await cancel(fence.operationId)).toMatchObject({ status: 'active', cancelRequestedAt: at(0) });
    expect(await fixture.ledger.progress(fence, {})).toBe(false);
    await fixture.ledger.finish(fence, { status: 'cancelled' });
    expect(await fixture.ledger.viewOperation(fence.operationId)).toMatchObject({
      status: 'cancelled',
      error: { message: 'anna has called it off: not now' },
    });
  });

  test('comes too late when the machine is being let go, or the operation has ended', async () => {
    const fence = await fixture.resident('cancel-late');
    await fixture.ledger.beginRelease(fence);
    await expect(cancel(fence.operationId)).rejects.toMatchObject({ code: 'DESKTOP_BUSY' });
    await fixture.ledger.finish(fence, { status: 'succeeded' });
    await expect(cancel(fence.operationId)).rejects.toMatchObject({ code: 'OPERATION_ENDED' });
    await expect(cancel(randomUUID())).rejects.toMatchObject({ code: 'OPERATION_UNKNOWN' });
    expect(await fixture.state(fence.desktopId)).toBe('saved');
  });
});

describe('a desktop that is warmed ahead', () => {
  const prewarm = (id: string, until?: Date) =>
    fixture.ledger.prewarm(id, { reason: 'morning', requestedBy: 'anna', ...(until && { until }) });

  test('boots or wakes, once for many who ask, and is kept up until its time', async () => {
    const off = await fixture.off('warm-off');
    expect(await prewarm(off)).toMatchObject({ state: 'booting', operation: { kind: 'boot', reason: 'morning' } });
    const saved = await fixture.saved('warm-saved');
    const until = new Date(fixture.nowMs + 30 * minuteMs);
    const first = await prewarm(saved, until);
    expect(first).toMatchObject({ state: 'restoring', operation: { kind: 'restore' }, hold: { by: 'anna' } });
    expect((await prewarm(saved, until)).operation?.id).toBe(first.operation?.id);
    await fixture.work(saved, 'restore');
    expect(await fixture.ledger.viewDesktop(saved)).toMatchObject({
      state: 'grace',
      graceDeadline: until.toISOString(),
    });
    expect(await prewarm(saved)).toMatchObject({ state: 'grace' });
  });

  test('is refused while it is being put to sleep, and then it is not held either', async () => {
    const { desktopId } = await fixture.capturing('warm-saving');
    const until = new Date(fixture.nowMs + minuteMs);
    await expect(prewarm(desktopId, until)).rejects.toMatchObject({ code: 'DESKTOP_BUSY' });
    expect(await fixture.ledger.viewDesktop(desktopId)).toMatchObject({ hold: null });
  });
});

describe('a storm', () => {
  const storm = { percent: 50, withinMs: minuteMs, atLeast: 3, graceMs: 10 * minuteMs, perMinute: 2 };
  const inUse = async (poolId: string, ids: readonly string[], broker = '/broker') => {
    await fixture.ledger.putPool(poolId, { graceMs, keepCheckpoints: 2, storm, brokers: 'any' }, 'test');
    for (const id of ids) {
      await fixture.hostIsAlive();
      await fixture.ledger.registerDesktop({ id, poolId, launchSpec: { memoryMiB: 64 }, actor: 'test' });
      await fixture.work(id, 'register');
      await fixture.ledger.receiveEvent(from(broker, fixture.delivery(id, 'session.connected')));
      await fixture.work(id, 'boot');
    }
  };
  const from = <Delivery extends { event: object }>(source: string, delivery: Delivery) => ({
    ...delivery,
    event: { ...delivery.event, source },
  });
  const leave = async (ids: readonly string[], broker = '/broker') => {
    for (const id of ids) {
      await fixture.ledger.receiveEvent(from(broker, fixture.delivery(id, 'session.disconnected')));
    }
  };
  const desks = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

  test('is noticed once, shows in the pool, and keeps those who left from being saved until they are released', async () => {
    const ids = desks('windy', 5);
    await inUse('windy', ids);
    await leave(ids.slice(0, 2));
    expect(await fixture.ledger.watchStorms()).toEqual([]);
    await leave(ids.slice(2, 4));
    expect(await fixture.ledger.watchStorms()).toMatchObject([
      { poolId: 'windy', storm: { broker: null, cause: 'many_left', left: 4, inUse: 5 } },
    ]);
    expect(await fixture.ledger.watchStorms()).toEqual([]);
    const { storms } = await fixture.ledger.viewPool('windy');
    expect(storms).toMatchObject([{ left: 4, inUse: 5, until: at(10 * minuteMs), releasedUntil: at(12.5 * minuteMs) }]);

    const releases = new Set<string>();
    for (const id of ids.slice(0, 4)) {
      await fixture.waitOutGrace(id);
      const { state, graceDeadline } = await fixture.ledger.viewDesktop(id);
      expect(state).toBe('grace');
      expect(Date.parse(graceDeadline!)).toBeGreaterThanOrEqual(Date.parse(storms[0]!.until));
      expect(Date.parse(graceDeadline!)).toBeLessThanOrEqual(Date.parse(storms[0]!.releasedUntil));
      releases.add(graceDeadline!);
    }
    expect(releases.size).toBe(4);

    await fixture.ledger.receiveEvent(from('/broker', fixture.delivery(ids[0]!, 'session.connected')));
    expect(await fixture.state(ids[0]!)).toBe('running');
    fixture.nowMs += 20 * minuteMs;
    const { generation } = await fixture.ledger.viewDesktop(ids[1]!);
    await fixture.ledger.graceElapsed(ids[1]!, generation);
    expect(await fixture.state(ids[1]!)).toBe('queued');
    await fixture.ledger.watchStorms();
    expect(await fixture.ledger.viewPool('windy')).toMatchObject({ storms: [] });
  });

  test('of one broker concerns its desktops, and not those of another in the same pool', async () => {
    const [mine, others] = [desks('mine', 4), desks('others', 8)];
    await inUse('shared', mine, '/mine');
    await inUse('shared', others, '/others');
    await leave(mine, '/mine');
    await leave(others.slice(0, 1), '/others');
    // Who speaks last of a desktop is not therefore whose users have left it.
    await leave([...mine, ...others.slice(0, 1)], '/mine');
    for (const id of mine)
      await fixture.ledger.receiveEvent(from('/others', fixture.delivery(id, 'session.logged_off')));
    expect(await fixture.ledger.watchStorms()).toMatchObject([
      { poolId: 'shared', storm: { broker: '/mine', left: 4 } },
    ]);
    await fixture.waitOutGrace(mine[0]!);
    expect(await fixture.state(mine[0]!)).toBe('grace');
  });

  test('is also when a broker begins anew, whatever its desktops do then', async () => {
    const ids = desks('restarted', 2);
    await inUse('restarted', ids, '/restarted');
    const { webhookId, event } = fixture.delivery('none', 'broker.started');
    const started = { webhookId, event: { ...event, source: '/restarted' } };
    const receipt = await fixture.ledger.receiveEvent(started);
    expect(receipt).toMatchObject({ outcome: 'applied', explanation: expect.stringContaining('restarted') });
    expect(await fixture.ledger.receiveEvent(started)).toMatchObject({ outcome: 'duplicate' });
    const { storms } = await fixture.ledger.viewPool('restarted');
    expect(storms).toMatchObject([{ broker: '/restarted', cause: 'broker_started', inUse: 2 }]);
    const snapshot = fixture.delivery(ids[0]!, 'broker.snapshot', { connectionIds: [] });
    const { desktop } = await fixture.ledger.receiveEvent(from('/restarted', snapshot));
    expect(Date.parse(desktop!.graceDeadline!)).toBeGreaterThanOrEqual(Date.parse(storms[0]!.until));
  });

  test('is looked for by an index, however many desktops sleep', async () => {
    await fixture.dataSource.query(
      `INSERT INTO desktops (id, pool_id, launch_spec, machine_state, state_since, generation, presence, absent_since,
         absence_cause, created_at, updated_at)
       SELECT 'sleeper-' || n, 'windy', '{}', 'saved', now(), 1, '{"complete": true, "ahead": [], "connections": []}',
         now() - interval '1 day', 'user', now(), now() FROM generate_series(1, 20000) n`,
    );
    await fixture.dataSource.query('ANALYZE desktops');
    const plan = await fixture.dataSource.query<{ 'QUERY PLAN': string }[]>(
      `EXPLAIN SELECT count(*) FROM desktops d JOIN pools p ON p.id = d.pool_id
       WHERE d.absent_since > now() - interval '10 minutes' AND p.policy ? 'storm'`,
    );
    expect(plan.map((line) => line['QUERY PLAN']).join('\n')).toContain('desktops_by_absence');
    const behind = await fixture.dataSource.query<{ 'QUERY PLAN': string }[]>(
      `EXPLAIN SELECT d.id FROM pools p JOIN desktops d ON d.pool_id = p.id AND d.pool_version <> p.version
       WHERE d.absent_since IS NOT NULL AND d.machine_state IN ('running', 'grace', 'queued', 'save-failed')`,
    );
    expect(behind.map((line) => line['QUERY PLAN']).join('\n')).toMatch(/Index Scan using \w+ on desktops/);
  });
});
