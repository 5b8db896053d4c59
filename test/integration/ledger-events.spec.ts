import { createDataSource } from '@dormouse/persistence';
import { RowHold } from '../scenario/row-hold';
import { brokerEventTypes } from '@dormouse/session';
import { graceMs, LedgerFixture } from './ledger-fixture';

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

describe('a webhook', () => {
  test('is stored together with its decision and the work that follows', async () => {
    const id = await fixture.inUse('whole');
    const nudgesBefore = fixture.nudges;
    const receipt = await fixture.send(id, 'disconnected');
    expect(receipt).toMatchObject({ outcome: 'applied', desktop: { state: 'grace' } });
    expect(receipt.desktop?.graceDeadline).toBe(new Date(fixture.nowMs + graceMs).toISOString());
    expect(await fixture.rows('inbox_events', id)).toHaveLength(2);
    const generation = receipt.desktop?.generation;
    expect((await fixture.outbox(id)).at(-1)).toMatchObject({
      action: 'add',
      queue: 'session',
      jobId: `grace-${id}-${generation}`,
      runAt: new Date(fixture.nowMs + graceMs),
    });
    // The timer waits in the outbox: nothing has to go to Redis yet.
    expect(fixture.nudges).toBe(nudgesBefore);
  });

  test('of which any part cannot be stored leaves nothing behind', async () => {
    const id = await fixture.inUse('nothing');
    const before = await fixture.ledger.viewDesktop(id);
    await fixture.dataSource.query(
      `ALTER TABLE outbox ADD CONSTRAINT no_grace CHECK (job_id NOT LIKE 'grace-nothing-%') NOT VALID`,
    );
    try {
      await expect(fixture.send(id, 'disconnected')).rejects.toThrow('no_grace');
    } finally {
      await fixture.dataSource.query('ALTER TABLE outbox DROP CONSTRAINT no_grace');
    }
    expect(await fixture.ledger.viewDesktop(id)).toEqual(before);
    expect(await fixture.rows('inbox_events', id)).toHaveLength(1);
    expect(await fixture.send(id, 'disconnected')).toMatchObject({ outcome: 'applied', desktop: { state: 'grace' } });
  });

  test('that comes twice has no second effect', async () => {
    const id = await fixture.inUse('twice');
    const delivery = fixture.delivery(id, 'session.disconnected');
    const first = await fixture.ledger.receiveEvent(delivery);
    fixture.nowMs += 1_000;
    const second = await fixture.ledger.receiveEvent(delivery);
    expect(second).toMatchObject({ outcome: 'duplicate', desktop: first.desktop });
    expect((await fixture.outbox(id)).filter(({ jobId }) => jobId.startsWith('grace-'))).toHaveLength(1);
  });

  test('that comes ten times at the same moment has one effect', async () => {
    const id = await fixture.off('crowd');
    const delivery = fixture.delivery(id, 'session.connect_requested');
    const other = createDataSource(fixture.postgres.url, { poolSize: 5 });
    await other.initialize();
    try {
      const elsewhere = fixture.ledgerOn(other);
      const receipts = await Promise.all(
        Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? fixture.ledger : elsewhere).receiveEvent(delivery)),
      );
      expect(receipts.map(({ outcome }) => outcome).sort()).toEqual(['applied', ...Array(9).fill('duplicate')]);
      expect((await fixture.ledger.listOperations(id)).map(({ kind }) => kind)).toEqual(['boot', 'register']);
    } finally {
      await other.destroy();
    }
  });

  test('for a desktop nobody knows is refused and not stored', async () => {
    await expect(fixture.send('stranger', 'connected')).rejects.toMatchObject({ code: 'DESKTOP_UNKNOWN' });
    expect(await fixture.rows('inbox_events', 'stranger')).toEqual([]);
  });

  test.each(['disconnected', 'logged_off', 'desktop.unassigned', 'desktop.deleted'])(
    '%s of a desktop nobody knows is so already: it is taken once, and nothing is done',
    async (type) => {
      const id = `gone-${type.replaceAll(/[^a-z]/g, '-')}`;
      const delivery = fixture.delivery(id, type.includes('.') ? type : `session.${type}`);
      const answer = { outcome: 'ignored', desktop: null, explanation: `no desktop ${id} is registered` };
      expect(await fixture.ledger.receiveEvent(delivery)).toEqual(answer);
      expect(await fixture.ledger.receiveEvent(delivery)).toMatchObject({ outcome: 'duplicate' });
      const kept = await fixture.dataSource.query('SELECT outcome FROM inbox_events WHERE webhook_id = $1', [
        delivery.webhookId,
      ]);
      expect(kept).toEqual([{ outcome: 'ignored' }]);
    },
  );

  test('that is stale is recorded and changes nothing', async () => {
    const id = await fixture.off('late');
    await fixture.send(id, 'connected', { brokerEpoch: 'e1', sequence: 1 });
    const before = await fixture.ledger.viewDesktop(id);
    const receipt = await fixture.send(id, 'disconnected', { brokerEpoch: 'e1', sequence: 1 });
    expect(receipt).toMatchObject({ outcome: 'stale', desktop: before });
    expect(await fixture.rows('inbox_events', id)).toMatchObject([
      { outcome: expect.any(String) },
      { outcome: expect.any(String) },
    ]);
  });

  test('that speaks of the broker itself is kept, for no desktop', async () => {
    const delivery = fixture.delivery('unused', 'broker.started');
    expect(await fixture.ledger.receiveEvent(delivery)).toMatchObject({
      outcome: 'applied',
      desktop: null,
    });
    expect(await fixture.ledger.receiveEvent(delivery)).toMatchObject({ outcome: 'duplicate' });
  });
});

describe('webhooks that come at once', () => {
  test('are stored in few transactions, and each is answered by what it has led to', async () => {
    const id = await fixture.inUse('together');
    const kinds = ['disconnected', 'reconnected', 'disconnected'];
    const [first, ...others] = kinds.map((kind) => fixture.delivery(id, `session.${kind}`));
    const receipts = await Promise.all([first!, first!, ...others].map((one) => fixture.ledger.receiveEvent(one)));
    expect(receipts.map(({ outcome, desktop }) => [outcome, desktop?.state])).toEqual([
      ['applied', 'grace'],
      ['duplicate', 'grace'],
      ['applied', 'running'],
      ['applied', 'grace'],
    ]);
    const stored: { xmin: string }[] = await fixture.dataSource.query(
      'SELECT xmin::text FROM inbox_events WHERE webhook_id = ANY ($1)',
      [others.map(({ webhookId }) => webhookId)],
    );
    expect(new Set(stored.map(({ xmin }) => xmin)).size).toBe(1);
    const { generation } = await fixture.ledger.viewDesktop(id);
    expect((await fixture.outbox(id)).filter(({ jobId }) => jobId.startsWith('grace-'))).toEqual([
      expect.objectContaining({ action: 'add', jobId: `grace-${id}-${generation}` }),
    ]);
  });

  test('do not wait for a desktop that somebody holds, whose own events wait and keep their order', async () => {
    const [held, free] = [await fixture.inUse('held-up'), await fixture.inUse('not-held-up')];
    const hold = await RowHold.take(fixture.postgres.url, held);
    const waiting = ['disconnected', 'reconnected', 'disconnected', 'reconnected'].map((kind) =>
      fixture.send(held, kind),
    );
    try {
      const all = Promise.all(waiting).then(() => 'held-up');
      const other = Promise.all([fixture.send(free, 'disconnected'), fixture.send(free, 'idle')]);
      expect(await Promise.race([all, other.then(() => 'not-held-up')])).toBe('not-held-up');
    } finally {
      await hold.release();
    }
    const states = (await Promise.all(waiting)).map(({ desktop }) => desktop?.state);
    expect(states).toEqual(['grace', 'running', 'grace', 'running']);
  });

  test('are not refused for one of them that cannot be stored, or that is of a desktop nobody knows', async () => {
    const ids = [await fixture.inUse('sound-1'), await fixture.inUse('unsound'), await fixture.inUse('sound-2')];
    await fixture.dataSource.query(
      `ALTER TABLE outbox ADD CONSTRAINT no_unsound CHECK (job_id NOT LIKE 'grace-unsound-%') NOT VALID`,
    );
    try {
      const answers = await Promise.allSettled([
        ...ids.map((id) => fixture.send(id, 'disconnected')),
        fixture.send('stranger', 'connected'),
      ]);
      expect(answers).toMatchObject([
        { status: 'fulfilled', value: { desktop: { state: 'grace' } } },
        { status: 'rejected', reason: { message: expect.stringContaining('no_unsound') as unknown } },
        { status: 'fulfilled', value: { desktop: { state: 'grace' } } },
        { status: 'rejected', reason: { code: 'DESKTOP_UNKNOWN' } },
      ]);
    } finally {
      await fixture.dataSource.query('ALTER TABLE outbox DROP CONSTRAINT no_unsound');
    }
    expect(await fixture.rows('inbox_events', 'unsound')).toHaveLength(1);
  });

  test('wake each its desktop, and see what those before them have taken of the hosts', async () => {
    const ids = [await fixture.saved('many-1'), await fixture.saved('many-2'), await fixture.saved('many-3')];
    const before = await fixture.dataSource.query(
      `SELECT coalesce(sum(memory_mib), 0)::int AS mib FROM desktops
       WHERE machine_state NOT IN ('registering', 'off', 'saved', 'restore-blocked')`,
    );
    const room = Number(before[0].mib) + 2 * 64;
    await fixture.ledger.announceHost({ id: 'host-1', capabilities: { memoryMiB: room } });
    try {
      await Promise.all(ids.map((id) => fixture.send(id, 'connect_requested')));
      const operations = await Promise.all(ids.map(async (id) => (await fixture.ledger.viewDesktop(id)).operation));
      expect(operations.map((operation) => operation?.hostId)).toEqual(['host-1', 'host-1', null]);
    } finally {
      await fixture.hostIsAlive();
    }
  });
});

describe('what a broker says besides who comes and goes', () => {
  test.each(brokerEventTypes)('%s is taken, and kept with what came of it', async (type) => {
    const id = `each-${type.replaceAll(/[^a-z]/g, '-')}`;
    await fixture.inUse(id);
    const delivery = fixture.delivery(id, type.slice('vdc.'.length), { connectionIds: ['c1'], reason: 'user' });
    const { outcome } = await fixture.ledger.receiveEvent(delivery);
    const [kept] = await fixture.dataSource.query('SELECT type, outcome FROM inbox_events WHERE webhook_id = $1', [
      delivery.webhookId,
    ]);
    expect(kept).toEqual({ type, outcome });
  });

  test('a user who is idle is there; their line broken, they had gone before', async () => {
    await fixture.inUse('idle');
    expect(await fixture.send('idle', 'idle')).toMatchObject({ outcome: 'applied' });
    const { presence, state } = await fixture.ledger.viewDesktop('idle');
    expect({ state, since: presence.idleSince }).toEqual({
      state: 'running',
      since: new Date(fixture.nowMs).toISOString(),
    });
    await fixture.send('idle', 'disconnected', { reason: 'network' });
    expect(await fixture.ledger.viewDesktop('idle')).toMatchObject({
      state: 'grace',
      absence: { cause: 'idle' },
      presence: { idleSince: null },
    });
  });

  test('and one who is at work again is gone for the reason that is given', async () => {
    await fixture.inUse('active');
    await fixture.send('active', 'idle');
    expect(await fixture.send('active', 'active')).toMatchObject({ outcome: 'applied' });
    await fixture.send('active', 'disconnected', { reason: 'network' });
    expect(await fixture.ledger.viewDesktop('active')).toMatchObject({ absence: { cause: 'network' } });
  });

  test('whose desktop it is is kept; one that is nobody’s is put away without a grace, and no data is lost', async () => {
    const say = (type: string, data = {}) =>
      fixture.ledger.receiveEvent(fixture.delivery('owned', `desktop.${type}`, data));
    await fixture.inGrace('owned');
    await say('assigned', { userRef: 'ada' });
    expect(await fixture.ledger.viewDesktop('owned')).toMatchObject({
      state: 'grace',
      assignment: { kind: 'assigned', userRef: 'ada' },
      absence: { cause: 'unknown' },
    });
    await say('unassigned');
    expect(await fixture.ledger.viewDesktop('owned')).toMatchObject({
      assignment: { kind: 'unassigned' },
      absence: { cause: 'unassigned' },
      graceDeadline: new Date(fixture.nowMs).toISOString(),
    });
    await say('deleted');
    const { generation } = await fixture.ledger.viewDesktop('owned');
    await fixture.ledger.graceElapsed('owned', generation);
    expect(await fixture.state('owned')).toBe('queued');
    expect((await fixture.ledger.explainDesktop('owned')).hindrances).toMatchObject([{ code: 'BROKER_DELETED' }]);
  });
});

describe('presence', () => {
  test('is unknown after a gap, begins no save, and a late event makes it certain', async () => {
    const id = await fixture.off('gap');
    await fixture.send(id, 'connected', { brokerEpoch: 'e1', sequence: 1 });
    await fixture.work(id, 'boot');
    const gap = await fixture.send(id, 'disconnected', { brokerEpoch: 'e1', sequence: 3 });
    expect(gap.desktop).toMatchObject({ state: 'running', presence: { occupancy: 'unknown' } });
    await expect(
      fixture.ledger.request(id, { kind: 'save', reason: 'test', requestedBy: 'anna' }),
    ).rejects.toMatchObject({
      code: 'PRESENCE_UNKNOWN',
    });
    const filled = await fixture.send(id, 'idle', { brokerEpoch: 'e1', sequence: 2 });
    expect(filled.desktop).toMatchObject({ state: 'grace', presence: { occupancy: 'empty' } });
  });

  test('of ten users at once wakes a sleeping desktop once', async () => {
    const id = await fixture.saved('stampede');
    await Promise.all(
      Array.from({ length: 10 }, (_, index) => fixture.send(id, 'connected', { connectionId: `user-${index}` })),
    );
    const desktop = await fixture.ledger.viewDesktop(id);
    expect(desktop).toMatchObject({ state: 'restoring', operation: { kind: 'restore', status: 'pending' } });
    expect(desktop.presence.connections).toHaveLength(10);
    expect((await fixture.ledger.listOperations(id)).filter(({ kind }) => kind === 'restore')).toHaveLength(1);
  });
});

describe('a user who returns', () => {
  test('in grace takes the timer back', async () => {
    const id = await fixture.inGrace('back-in-grace');
    const { generation } = await fixture.ledger.viewDesktop(id);
    expect((await fixture.send(id, 'reconnected')).desktop).toMatchObject({ state: 'running', graceDeadline: null });
    expect(await fixture.outbox(id)).not.toContainEqual(
      expect.objectContaining({ jobId: `grace-${id}-${generation}` }),
    );
    fixture.nowMs += graceMs;
    await fixture.ledger.graceElapsed(id, generation);
    expect(await fixture.state(id)).toBe('running');
  });

  test('before the save was claimed calls it off, and its job finds nothing', async () => {
    const id = await fixture.queued('back-in-queue');
    const { operation } = await fixture.ledger.viewDesktop(id);
    await fixture.send(id, 'reconnected');
    expect(await fixture.state(id)).toBe('running');
    expect(await fixture.ledger.claim(operation!.id, operation!.generation, 'worker-1', 1_000)).toBeNull();
    expect(await fixture.ledger.viewOperation(operation!.id)).toMatchObject({ status: 'cancelled' });
    expect(await fixture.outbox(id)).not.toContainEqual(
      expect.objectContaining({ jobId: `save-${id}-${operation!.generation}` }),
    );
  });

  test('during capture is noticed by the worker, and the desktop runs on', async () => {
    const fence = await fixture.capturing('back-in-capture');
    expect(await fixture.ledger.progress(fence, { bytes: 1 })).toBe(true);
    await fixture.send(fence.desktopId, 'reconnected');
    expect(await fixture.ledger.progress(fence, { bytes: 2 })).toBe(false);
    expect(await fixture.ledger.advance(fence, 'capture')).toBe(false);
    expect(await fixture.ledger.authorizeSwitchover(fence)).toBe(false);
    await fixture.ledger.finish(fence, { status: 'cancelled' });
    expect(await fixture.ledger.viewDesktop(fence.desktopId)).toMatchObject({ state: 'running', operation: null });
    expect(await fixture.ledger.viewOperation(fence.operationId)).toMatchObject({
      status: 'cancelled',
      progress: { bytes: 1 },
    });
  });

  test('while the guest is frozen stops the commit', async () => {
    const fence = await fixture.committing('back-in-commit');
    await fixture.send(fence.desktopId, 'reconnected');
    const facts = {
      id: '00000000-0000-4000-8000-000000000001',
      storagePrefix: 'x',
      diskGeneration: null,
      ramBytes: 1,
      storedBytes: 1,
      facts: {},
    };
    expect(await fixture.ledger.commitCheckpoint(fence, facts)).toBe(false);
    await fixture.ledger.finish(fence, { status: 'cancelled' });
    expect(await fixture.ledger.viewDesktop(fence.desktopId)).toMatchObject({ state: 'running', checkpointId: null });
  });

  test('while the desktop is resident keeps its machine', async () => {
    const fence = await fixture.resident('back-in-residence');
    await fixture.send(fence.desktopId, 'reconnected');
    expect(await fixture.ledger.beginRelease(fence)).toBe(false);
    await fixture.ledger.finish(fence, { status: 'cancelled' });
    expect(await fixture.state(fence.desktopId)).toBe('running');
  });

  test('while the desktop is resident withdraws the checkpoint: the guest writes to its disk again', async () => {
    const fence = await fixture.resident('back-and-withdrawn');
    const { checkpointId } = await fixture.ledger.viewDesktop(fence.desktopId);
    expect(await fixture.ledger.viewCheckpoint(checkpointId!)).toMatchObject({ state: 'durable' });
    await fixture.send(fence.desktopId, 'reconnected');
    expect(await fixture.ledger.beginRelease(fence)).toBe(false);
    await fixture.ledger.finish(fence, { status: 'cancelled' });
    expect(await fixture.ledger.viewDesktop(fence.desktopId)).toMatchObject({ checkpointId: null });
    expect(await fixture.ledger.viewCheckpoint(checkpointId!)).toMatchObject({ state: 'condemned' });
  });

  test('while the machine is let go is woken as soon as that is over', async () => {
    const fence = await fixture.resident('back-in-release');
    expect(await fixture.ledger.beginRelease(fence)).toBe(true);
    await fixture.send(fence.desktopId, 'reconnected');
    expect(await fixture.ledger.beginRelease(fence)).toBe(true);
    await fixture.ledger.finish(fence, { status: 'succeeded' });
    expect(await fixture.ledger.viewDesktop(fence.desktopId)).toMatchObject({
      state: 'restoring',
      operation: { kind: 'restore', requestedBy: 'broker' },
    });
  });
});

describe('a broker that falls silent', () => {
  const source = '/broker';
  const heartbeat = () =>
    fixture.ledger.receiveEvent(fixture.delivery('nobody', 'broker.heartbeat', { intervalSeconds: 10 }));
  const occupancyOf = async (id: string) => (await fixture.ledger.viewDesktop(id)).presence.occupancy;

  test('makes it uncertain who is at its desktops, and no save begins until it is heard again', async () => {
    const [used, left, waiting, asleep] = ['silent-used', 'silent-left', 'silent-waiting', 'silent-asleep'];
    await fixture.inUse(used);
    await fixture.inGrace(left);
    await fixture.queued(waiting);
    await fixture.saved(asleep);
    await heartbeat();
    fixture.nowMs += 29_000;
    expect(await fixture.ledger.watchBrokers()).toMatchObject({ fellSilent: [], inDoubt: 0 });
    fixture.nowMs += 2_000;
    expect(await fixture.ledger.watchBrokers()).toMatchObject({ fellSilent: [source], heardAgain: [] });
    expect(await Promise.all([used, left, waiting].map(occupancyOf))).toEqual(['unknown', 'unknown', 'unknown']);
    expect(await occupancyOf(asleep)).toBe('empty');
    for (const id of [left, waiting]) {
      expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'running', operation: null });
    }
    expect(await fixture.ledger.explainDesktop(left)).toMatchObject({
      sentence: expect.stringContaining('because the broker /broker has fallen silent') as unknown,
      presence: { doubt: { kind: 'silent' } },
    });
    const [broker] = (await fixture.ledger.listBrokers()).filter(({ id }) => id === source);
    expect(broker).toMatchObject({ intervalSeconds: 10, silentSince: new Date(fixture.nowMs).toISOString() });

    await heartbeat();
    expect(await fixture.ledger.watchBrokers()).toMatchObject({ fellSilent: [], heardAgain: [source] });
    expect(await Promise.all([used, left, waiting].map(occupancyOf))).toEqual(['present', 'empty', 'empty']);
    expect(await fixture.state(used)).toBe('running');
    expect(await fixture.ledger.viewDesktop(left)).toMatchObject({
      state: 'grace',
      absence: { cause: 'unknown', since: new Date(fixture.nowMs).toISOString() },
    });
    expect(await fixture.ledger.watchBrokers()).toMatchObject({ inDoubt: 0, certain: 0 });
  });

  test('tells who is at one desktop with a snapshot; the next silence makes that uncertain again', async () => {
    const id = await fixture.inUse('silent-snapshot');
    await heartbeat();
    fixture.nowMs += 31_000;
    await fixture.ledger.watchBrokers();
    expect(await occupancyOf(id)).toBe('unknown');
    await fixture.ledger.receiveEvent(fixture.delivery(id, 'broker.snapshot', { connectionIds: [] }));
    await fixture.ledger.watchBrokers();
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'grace', presence: { occupancy: 'empty' } });
    await heartbeat();
    await fixture.ledger.watchBrokers();
    fixture.nowMs += 31_000;
    await fixture.ledger.watchBrokers();
    expect(await occupancyOf(id)).toBe('unknown');
    await heartbeat();
    await fixture.ledger.watchBrokers();
    expect(await occupancyOf(id)).toBe('empty');
  });

  test('ends for good when it is retired: nothing that it has said counts, and it is waited for no more', async () => {
    const [used, left] = ['retired-used', 'retired-left'];
    await fixture.inUse(used);
    await fixture.inGrace(left);
    await heartbeat();
    fixture.nowMs += 31_000;
    await fixture.ledger.watchBrokers();
    expect(await Promise.all([used, left].map(occupancyOf))).toEqual(['unknown', 'unknown']);
    const retired = await fixture.ledger.retireBroker({ source, reason: 'replaced', actor: 'key:anna' });
    expect(retired.desktops).toBeGreaterThanOrEqual(2);
    expect(await Promise.all([used, left].map(occupancyOf))).toEqual(['empty', 'empty']);
    expect((await fixture.ledger.listBrokers()).map(({ id }) => id)).not.toContain(source);
    fixture.nowMs += 60_000;
    expect(await fixture.ledger.watchBrokers()).toMatchObject({ fellSilent: [], inDoubt: 0 });
    const { items } = await fixture.ledger.listAudit({ limit: 1, action: 'broker.retire', target: source });
    expect(items).toMatchObject([{ actor: 'key:anna', reason: 'replaced', outcome: 'applied' }]);
    const unknown = { source: 'never-heard', reason: 'x', actor: 'key:anna' };
    await expect(fixture.ledger.retireBroker(unknown)).rejects.toMatchObject({ code: 'BROKER_UNKNOWN' });
    await fixture.send(used, 'connected');
    expect(await occupancyOf(used)).toBe('present');
  });
});
