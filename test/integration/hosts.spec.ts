import { JobConsumer, JobHandlers, NotNow, jobOptions } from '@dormouse/jobs';
import type { HostCommand } from '@dormouse/ledger';
import { admission, type JsonObject } from '@dormouse/session';
import { eventually, RedisFixture, silent } from './jobs-fixture';
import { checkpoint, graceMs, leaseMs, LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());
beforeEach(async () => {
  await fixture.dataSource.query('TRUNCATE desktops, operations, checkpoints, disk_generations, hosts, outbox CASCADE');
  await fixture.hostIsAlive();
});

const roomy = { memoryMiB: 1_024, storage: 's', disks: 'd', qemuVersion: '7.2', accelerator: 'tcg' };

async function announce(id: string, capabilities: JsonObject = roomy): Promise<string> {
  return fixture.ledger.announceHost({ id, capabilities });
}

/** Time goes by, and all hosts but these are silent. */
async function silentBut(...ids: string[]): Promise<void> {
  fixture.nowMs += 31_000;
  for (const id of ids) await announce(id);
}

function change(hostId: string, command: HostCommand['command']) {
  return fixture.ledger.changeHost({ hostId, command, reason: 'a test', actor: 'key:anna' });
}

async function hostOf(desktopId: string): Promise<string | null> {
  const { hostId, operation } = await fixture.ledger.viewDesktop(desktopId);
  if (operation !== null) expect(operation.hostId).toBe(hostId);
  return hostId;
}

/** Saves whatever is claimed, to the end, as a worker does. */
async function save(desktopId: string): Promise<void> {
  const { fence } = await fixture.claimOpen(desktopId, 'save');
  expect(await fixture.ledger.authorizeSwitchover(fence)).toBe(true);
  expect(await fixture.ledger.commitCheckpoint(fence, checkpoint())).toBe(true);
  expect(await fixture.ledger.beginRelease(fence)).toBe(true);
  await fixture.ledger.finish(fence, { status: 'succeeded' });
}

async function register(id: string, memoryMiB = 64): Promise<string> {
  await fixture.ledger.registerDesktop({ id, poolId: 'default', launchSpec: { memoryMiB }, actor: 'test' });
  await fixture.work(id, 'register');
  return id;
}

describe('placing', () => {
  test('new desktops are spread over the hosts', async () => {
    for (const id of ['host-2', 'host-3']) await announce(id);
    for (let n = 0; n < 6; n += 1) await register(`spread-${n}`);
    const hosts = await Promise.all(Array.from({ length: 6 }, (_, n) => hostOf(`spread-${n}`)));
    expect(hosts.sort()).toEqual(['host-1', 'host-1', 'host-2', 'host-2', 'host-3', 'host-3']);
  });

  test('a desktop wakes where it was saved, and elsewhere when that host has no room for it', async () => {
    for (const id of ['stays', 'moves']) await fixture.saved(id);
    await announce('host-1', { ...roomy, memoryMiB: 100 });
    await announce('host-2');
    for (const id of ['stays', 'moves']) await fixture.send(id, 'connected');
    expect([await hostOf('stays'), await hostOf('moves')]).toEqual(['host-1', 'host-2']);
  });

  test('a desktop that fits nowhere waits, says for what, and is placed as soon as there is room', async () => {
    await fixture.inUse('first');
    await register('second');
    await announce('host-1', { ...roomy, memoryMiB: 100 });
    await fixture.send('second', 'connected');
    const { operation } = await fixture.ledger.viewDesktop('second');
    expect(operation).toMatchObject({
      kind: 'boot',
      status: 'pending',
      hostId: null,
      progress: { waitingFor: 'a host: host-1 has 36 MiB free of 100, and 64 are needed' },
    });
    expect((await fixture.outbox('second')).filter(({ jobId }) => jobId.startsWith('boot'))).toEqual([]);
    expect(await fixture.ledger.placeWaiting()).toHaveLength(0);

    await announce('host-2');
    expect(await fixture.ledger.placeWaiting()).toHaveLength(1);
    expect((await fixture.outbox('second')).at(-1)).toMatchObject({ queue: 'host.host-2' });
    const placed = (await fixture.ledger.viewDesktop('second')).operation;
    expect(placed).toMatchObject({ hostId: 'host-2', progress: {} });
    await fixture.work('second', 'boot');
  });

  test('of many who come at the same moment no more are placed on a host than fit', async () => {
    await announce('host-1', { ...roomy, memoryMiB: 200 });
    await announce('host-2', { ...roomy, memoryMiB: 200 });
    const ids = Array.from({ length: 9 }, (_, n) => `rush-${n}`);
    for (const id of ids) await register(id);
    await Promise.all(ids.map((id) => fixture.send(id, 'connected')));
    const hosts = await Promise.all(ids.map(async (id) => (await fixture.ledger.viewDesktop(id)).operation?.hostId));
    expect(hosts.filter((id) => id === 'host-1')).toHaveLength(3);
    expect(hosts.filter((id) => id === 'host-2')).toHaveLength(3);
    expect(hosts.filter((id) => id === null)).toHaveLength(3);
  });

  test('a wake that nobody has taken leaves a host that has fallen silent; its late job is another host’s no more', async () => {
    await fixture.saved('sleeper');
    await announce('host-1');
    await announce('host-2');
    await fixture.send('sleeper', 'connected');
    const before = await hostOf('sleeper');
    const other = before === 'host-1' ? 'host-2' : 'host-1';
    await silentBut(other);
    expect(await fixture.ledger.placeWaiting()).toHaveLength(1);
    expect(await hostOf('sleeper')).toBe(other);
    const { operation } = await fixture.ledger.viewDesktop('sleeper');
    const { id, generation } = operation!;
    expect(await fixture.ledger.claim(id, generation, 'late', leaseMs, before)).toBeNull();
    expect(await fixture.ledger.claim(id, generation, 'in-time', leaseMs, other)).not.toBeNull();
  });
});

describe('slots', () => {
  const claim = async (desktopId: string, workerId = 'worker-1') => {
    const { operation } = await fixture.ledger.viewDesktop(desktopId);
    return fixture.ledger.claim(operation!.id, operation!.generation, workerId, leaseMs, operation!.hostId);
  };

  test('a host works on as many wakes as it has slots, whichever of its workers ask', async () => {
    await announce('host-1', { ...roomy, slots: { wake: 2, save: 1 } });
    const ids = ['a', 'b', 'c', 'd'];
    for (const id of ids) await register(id);
    for (const id of ids) await fixture.send(id, 'connected');
    const claims = await Promise.allSettled(ids.map((id, n) => claim(id, `worker-${n % 2}`)));
    expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    for (const refused of claims.filter((one) => one.status === 'rejected')) {
      expect(refused.reason).toMatchObject({
        code: 'HOST_BUSY',
        message: 'the host host-1 has 2 of 2 wakes under way',
      });
    }
  });

  test('saves take none of a wake’s, and a guest that runs has given its own back', async () => {
    await fixture.saved('wakes');
    await fixture.queued('saves-1');
    await fixture.queued('saves-2');
    await fixture.saved('wakes-too');
    await announce('host-1', { ...roomy, slots: { wake: 1, save: 1 } });
    await claim('saves-1');
    await expect(claim('saves-2')).rejects.toMatchObject({ code: 'HOST_BUSY' });
    await fixture.send('wakes', 'connected');
    await fixture.send('wakes-too', 'connected');
    const { fence } = (await claim('wakes'))!;
    await expect(claim('wakes-too')).rejects.toMatchObject({ code: 'HOST_BUSY' });
    expect(await fixture.ledger.guestRan(fence, {})).toBe(true);
    expect(await claim('wakes-too')).not.toBeNull();
  });

  test('a slot of a worker that died is free when its lease has run out', async () => {
    await fixture.queued('held');
    await fixture.queued('next');
    await announce('host-1', { ...roomy, slots: { wake: 8, save: 1 } });
    await claim('held', 'dies');
    await expect(claim('next')).rejects.toMatchObject({ code: 'HOST_BUSY' });
    fixture.nowMs += leaseMs + 1;
    expect(await claim('next')).not.toBeNull();
  });

  test('nobody waits for whoever claims at the same time: the next free slot is taken', async () => {
    await announce('host-1', { ...roomy, slots: { wake: 2, save: 8 } });
    for (const id of ['beside', 'too-many']) {
      await register(id);
      await fixture.send(id, 'connected');
    }
    const another = fixture.dataSource.createQueryRunner();
    try {
      await another.startTransaction();
      await another.query(`SELECT pg_advisory_xact_lock(hashtext('wakes of the host host-1'), 1)`);
      expect((await claim('beside'))?.operation.status).toBe('active');
      const [held] = await fixture.dataSource.query(`SELECT host_slot FROM operations WHERE desktop_id = 'beside'
        AND status = 'active'`);
      expect(held).toEqual({ host_slot: 2 });
      await expect(claim('too-many')).rejects.toMatchObject({ code: 'HOST_BUSY' });
    } finally {
      await another.rollbackTransaction();
      await another.release();
    }
    expect(await claim('too-many')).not.toBeNull();
  });

  test('all hosts of a storage share its slots', async () => {
    for (const id of ['s-1', 's-2', 's-3', 's-4']) await fixture.queued(id);
    const shared = { ...roomy, slots: { wake: 8, save: 8 }, storageSlots: { wake: 8, save: 2 } };
    await announce('host-1', shared);
    await announce('host-2', shared);
    await announce('host-3', { ...shared, storage: 'another' });
    const [first, second, third, elsewhere] = ['s-1', 's-2', 's-3', 's-4'];
    const hosts = { 's-1': 'host-1', 's-2': 'host-2', 's-3': 'host-1', 's-4': 'host-3' };
    for (const [desktop, host] of Object.entries(hosts)) {
      await fixture.dataSource.query('UPDATE desktops SET host_id = $2 WHERE id = $1', [desktop, host]);
      await fixture.dataSource.query(
        `UPDATE operations SET host_id = $2 WHERE desktop_id = $1 AND status = 'pending'`,
        [desktop, host],
      );
    }
    await claim(first);
    await claim(second);
    await expect(claim(third)).rejects.toMatchObject({ message: 'the storage has 2 of 2 saves under way' });
    expect(await claim(elsewhere)).not.toBeNull();
  });
});

describe('the order of admission', () => {
  let redis: RedisFixture;
  beforeEach(async () => {
    redis = await RedisFixture.start(fixture.directory);
  });
  afterEach(() => redis.stop());

  test('is in the outbox: a user before who asked, a save that was asked for before one on disconnect', async () => {
    await register('user');
    await fixture.send('user', 'connected');
    await register('asked');
    await fixture.ledger.request('asked', { kind: 'boot', reason: 'a test', requestedBy: 'key:anna' });
    await fixture.queued('left');
    await fixture.inUse('forced');
    await fixture.ledger.request('forced', { kind: 'save', reason: 'a test', requestedBy: 'key:anna', force: true });
    const rows: { job_id: string; priority: number }[] = await fixture.dataSource.query(
      `SELECT job_id, priority FROM outbox WHERE action = 'add'`,
    );
    const priorityOf = (name: string) => rows.find(({ job_id }) => job_id.startsWith(name))!.priority;
    expect([
      priorityOf('boot-user'),
      priorityOf('boot-asked'),
      priorityOf('save-forced'),
      priorityOf('save-left'),
    ]).toEqual([
      admission['a waiting user'],
      admission['somebody who asked'],
      admission['a save that was asked for'],
      admission['a save on disconnect'],
    ]);
  });

  test('holds in the queue, also for a job that found no slot', async () => {
    const queueName = 'host.order';
    const add = (jobId: string, priority: number) =>
      redis.with(queueName, (queue) => queue.add('boot', payload, { ...jobOptions('boot'), jobId, priority }));
    const payload = { desktopId: 'd', operationId: '7e58a8a5-8b9f-4a2e-9d0e-2f4d2a3b1c00', generation: 1 };
    await add('boot-late-1', 2);
    await add('boot-late-2', 2);
    await add('boot-user-1', 1);
    const done: string[] = [];
    let full = true;
    const nothing = async () => undefined;
    const handlers = new JobHandlers('host')
      .register('boot', async (_, { jobId }) => {
        if (full) throw new NotNow(50, new Error('no slot'));
        done.push(jobId);
      })
      .register('register', nothing)
      .register('restore', nothing)
      .register('stop', nothing);
    const consumer = new JobConsumer({
      queue: queueName,
      handlers,
      redis: redis.socketPath,
      concurrency: 1,
      log: silent,
    });
    consumer.start();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(done).toEqual([]);
    expect(await redis.jobIds(queueName)).toHaveLength(3);
    full = false;
    await eventually(() => done.length === 3);
    expect(done).toEqual(['boot-user-1', 'boot-late-1', 'boot-late-2']);
    await consumer.close({ patienceMs: 500 });
  });
});

describe('a host that is cordoned', () => {
  test('gets no machines, and keeps those it has', async () => {
    await announce('host-2');
    await change('host-1', 'cordon');
    expect(await hostOf(await register('new'))).toBe('host-2');
    await expect(change('host-9', 'cordon')).rejects.toMatchObject({ code: 'HOST_UNKNOWN' });
    await change('host-2', 'cordon');
    await expect(register('none')).rejects.toMatchObject({ code: 'HOST_UNAVAILABLE' });
    expect(await change('host-2', 'uncordon')).toMatchObject({ intent: 'open', intentReason: 'a test' });
    await register('again');
  });
});

describe('a host that is drained', () => {
  test('has its desktops saved, those in use too, and these are woken on another host', async () => {
    await fixture.inUse('used');
    await fixture.inGrace('left');
    await announce('host-1');
    await announce('host-2');
    expect(await change('host-1', 'drain')).toMatchObject({ intent: 'draining', machines: 2 });
    expect(await fixture.ledger.drainHosts()).toEqual({ moved: ['left', 'used'], staying: [] });
    expect(await fixture.ledger.drainHosts()).toEqual({ moved: [], staying: [] });
    for (const id of ['used', 'left']) await save(id);
    expect(await fixture.ledger.drainHosts()).toEqual({ moved: ['used'], staying: [] });
    expect(await fixture.state('left')).toBe('saved');
    expect(await hostOf('used')).toBe('host-2');
    expect((await fixture.ledger.viewDesktop('used')).operation).toMatchObject({ kind: 'restore' });
    expect((await fixture.ledger.listHosts()).map(({ id, machines }) => [id, machines])).toEqual([
      ['host-1', 0],
      ['host-2', 1],
    ]);
  });

  test('has a desktop in doubt wake elsewhere: somebody may be there', async () => {
    await fixture.inUse('doubted');
    await fixture.ledger.receiveEvent(fixture.delivery('nobody', 'broker.heartbeat', { intervalSeconds: 1 }));
    fixture.nowMs += 4_000;
    expect(await fixture.ledger.watchBrokers()).toMatchObject({ inDoubt: 1 });
    await announce('host-1');
    await announce('host-2');
    await change('host-1', 'drain');
    expect(await fixture.ledger.drainHosts()).toEqual({ moved: ['doubted'], staying: [] });
    await save('doubted');
    expect(await fixture.ledger.drainHosts()).toEqual({ moved: ['doubted'], staying: [] });
    expect(await hostOf('doubted')).toBe('host-2');
    expect(await fixture.ledger.viewDesktop('doubted')).toMatchObject({
      operation: { kind: 'restore' },
      presence: { occupancy: 'unknown' },
    });
  });

  test('keeps a desktop that is in use and that no other host can take', async () => {
    await fixture.inUse('used');
    await announce('host-1');
    await announce('host-2', { ...roomy, storage: 'another' });
    await change('host-1', 'drain');
    expect(await fixture.ledger.drainHosts()).toEqual({ moved: [], staying: ['used'] });
    await fixture.send('used', 'disconnected');
    expect(await fixture.ledger.drainHosts()).toEqual({ moved: ['used'], staying: [] });
  });

  test('does not freeze a guest again and again that cannot be saved', async () => {
    await fixture.inUse('stubborn');
    await announce('host-1');
    await announce('host-2');
    await change('host-1', 'drain');
    for (let failures = 1; failures <= 3; failures += 1) {
      expect(await fixture.ledger.drainHosts()).toEqual({ moved: ['stubborn'], staying: [] });
      const { fence } = await fixture.claimOpen('stubborn', 'save');
      const error = { code: 'STORAGE_FULL', message: 'full', details: {} } as const;
      await fixture.ledger.finish(fence, { status: 'failed', error });
      expect(await fixture.ledger.drainHosts()).toEqual({ moved: [], staying: ['stubborn'] });
      fixture.nowMs += 61_000;
      for (const id of ['host-1', 'host-2']) await announce(id);
    }
    expect(await fixture.ledger.drainHosts()).toEqual({ moved: [], staying: ['stubborn'] });
  });
});

describe('a host that is fenced', () => {
  test('has to be silent', async () => {
    await expect(change('host-1', 'fence')).rejects.toMatchObject({ code: 'HOST_ALIVE' });
  });

  test('gives up what ran, was saved, or woke there, and each desktop can go on elsewhere', async () => {
    await fixture.inUse('running');
    await fixture.queued('queued');
    await fixture.capturing('saving');
    await fixture.resident('resident');
    await fixture.saved('waking');
    await fixture.send('waking', 'connected');
    await fixture.claimOpen('waking', 'restore');
    await fixture.saved('asked');
    await fixture.send('asked', 'connected');
    fixture.nowMs += graceMs;
    await silentBut('host-2');
    await change('host-1', 'fence');
    const states = ['running', 'queued', 'saving', 'resident', 'waking', 'asked'].map(fixture.state.bind(fixture));
    expect(await Promise.all(states)).toEqual(['off', 'off', 'off', 'saved', 'saved', 'restoring']);
    const open = await fixture.dataSource.query(
      `SELECT desktop_id FROM operations WHERE status IN ('pending', 'active')`,
    );
    expect(open).toEqual([{ desktop_id: 'asked' }]);
    await fixture.send('running', 'connected', { connectionId: 'c2' });
    expect(await hostOf('running')).toBe('host-2');
    await expect(change('host-1', 'uncordon')).rejects.toMatchObject({ code: 'HOST_FENCED' });
  });

  test('leaves a layer that its guest may have written to: it is kept, and whoever starts the machine next finds it', async () => {
    await fixture.saved('woke-unseen');
    await fixture.send('woke-unseen', 'connected');
    const { layer } = await fixture.claimOpen('woke-unseen', 'restore');
    const generation = layer!.generation;
    await silentBut('host-2');
    await change('host-1', 'fence');
    expect(await fixture.state('woke-unseen')).toBe('saved');
    expect((await fixture.ledger.desktopHoldings('woke-unseen')).desktop).toMatchObject({ layersLeft: [generation] });

    await fixture.send('woke-unseen', 'connected', { connectionId: 'c2' });
    const again = await fixture.claimOpen('woke-unseen', 'restore');
    expect(again.operation.id).not.toBe(generation);
    expect(again.layer).toEqual(layer);
    // Its worker has found that the guest had written, which the memory of the checkpoint knows nothing of.
    await fixture.ledger.finish(again.fence, {
      status: 'failed',
      error: { code: 'WAKE_INTERRUPTED', message: 'a guest has written', details: {} },
      desktop: { hostId: 'host-2', diskGeneration: generation },
    });
    expect(await fixture.state('woke-unseen')).toBe('restore-blocked');
    expect((await fixture.ledger.desktopHoldings('woke-unseen')).desktop).toMatchObject({
      diskGeneration: generation,
      layersLeft: [],
    });
  });

  test('and a boot goes on with what its guest has written there, until one has succeeded', async () => {
    await fixture.off('booted-unseen');
    await fixture.send('booted-unseen', 'connected');
    const { layer } = await fixture.claimOpen('booted-unseen', 'boot');
    await silentBut('host-2');
    await change('host-1', 'fence');
    await fixture.send('booted-unseen', 'connected', { connectionId: 'c2' });
    const { fence, layer: again } = await fixture.claimOpen('booted-unseen', 'boot');
    expect(again).toEqual(layer);
    await fixture.ledger.finish(fence, {
      status: 'succeeded',
      desktop: { hostId: 'host-2', diskGeneration: again!.generation },
    });
    expect((await fixture.ledger.desktopHoldings('booted-unseen')).desktop).toMatchObject({
      diskGeneration: layer!.generation,
      layersLeft: [],
    });
  });

  test('is cordoned when it has come back and ended what it still ran', async () => {
    await silentBut('host-2');
    await change('host-1', 'fence');
    expect(await announce('host-1')).toBe('fenced');
    await fixture.ledger.hostCleared('host-1');
    expect(await announce('host-1')).toBe('cordoned');
    await change('host-1', 'uncordon');
    const { items } = await fixture.ledger.listAudit({ target: 'host-1', limit: 3 });
    expect(items.map(({ action, outcome }) => [action, outcome])).toEqual([
      ['host.uncordon', 'applied'],
      ['host.cleared', 'applied'],
      ['host.fence', 'applied'],
    ]);
  });
});
