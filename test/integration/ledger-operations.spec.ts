import { checkpoint, leaseMs, LedgerFixture } from './ledger-fixture';

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

const launchSpec = { machine: 'q35', disks: [{ image: 'a' }] };

describe('a registration', () => {
  const register = (id: string, spec: object = launchSpec) =>
    fixture.ledger.registerDesktop({ id, poolId: 'default', launchSpec: spec as never, actor: 'anna' });

  test('is examined before the desktop is off', async () => {
    const { desktop, operation, created } = await register('fresh');
    expect({ desktop, operation, created }).toMatchObject({
      desktop: { state: 'registering', hostId: 'host-1', fingerprint: null },
      operation: { kind: 'register', phase: 'examine', status: 'pending', requestedBy: 'anna' },
      created: true,
    });
    const { fence, launchSpec: examined } = await fixture.claimOpen('fresh', 'register');
    expect(examined).toEqual(launchSpec);
    await fixture.ledger.finish(fence, { status: 'succeeded', desktop: { fingerprint: { cpu: 'host' } } });
    expect(await fixture.ledger.viewDesktop('fresh')).toMatchObject({ state: 'off', fingerprint: { cpu: 'host' } });
  });

  test('with an equal spec is the same one, in whatever order its fields come', async () => {
    const first = await register('same');
    expect((await register('same', { disks: [{ image: 'a' }], machine: 'q35' })).operation?.id).toBe(
      first.operation?.id,
    );
    await fixture.work('same', 'register');
    expect(await register('same')).toMatchObject({ operation: null, created: false, desktop: { state: 'off' } });
  });

  test('of one id by many at once makes one desktop', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => register('many')));
    expect(all.filter(({ created }) => created)).toHaveLength(1);
    expect(new Set(all.map(({ operation }) => operation?.id)).size).toBe(1);
  });

  test('that ends while it is looked at is seen open or over, and nothing in between', async () => {
    for (let n = 0; n < 40; n++) {
      const id = `looked-at-${n}`;
      await register(id);
      const { fence } = await fixture.claimOpen(id, 'register');
      let isOver = false;
      const ended = fixture.ledger.finish(fence, { status: 'succeeded' }).finally(() => (isOver = true));
      const look = async (): Promise<void> => {
        while (!isOver) {
          const { state, operation } = await fixture.ledger.viewDesktop(id);
          expect({ state, isOpen: operation !== null }).toEqual({ state, isOpen: state === 'registering' });
        }
      };
      await Promise.all([ended, look(), look(), look()]);
    }
  });

  test('that is refused leaves no desktop, and the reason with the operation', async () => {
    await register('bad');
    const { fence } = await fixture.claimOpen('bad', 'register');
    const error = { code: 'DESKTOP_NOT_MIGRATABLE', message: 'ivshmem', details: { device: 'ivshmem' } } as const;
    await fixture.ledger.finish(fence, { status: 'failed', error });
    await expect(fixture.ledger.viewDesktop('bad')).rejects.toMatchObject({ code: 'DESKTOP_UNKNOWN' });
    expect(await fixture.ledger.viewOperation(fence.operationId)).toMatchObject({ status: 'failed', error });
    expect((await register('bad')).operation?.generation).toBeGreaterThan(fence.generation);
  });

  test('with another spec is examined while the old spec stays, and only when the desktop is off', async () => {
    const id = await fixture.off('changing');
    const changed = await register(id, { memoryMiB: 128 });
    expect(changed).toMatchObject({ created: false, desktop: { state: 'registering', launchSpec: { memoryMiB: 64 } } });
    const first = await fixture.claimOpen(id, 'register');
    expect(first.launchSpec).toEqual({ memoryMiB: 128 });
    await fixture.ledger.finish(first.fence, { status: 'failed' });
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'off', launchSpec: { memoryMiB: 64 } });

    await register(id, { memoryMiB: 128 });
    await fixture.work(id, 'register');
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'off', launchSpec: { memoryMiB: 128 } });

    await fixture.send(id, 'connected');
    await expect(register(id, { memoryMiB: 256 })).rejects.toMatchObject({ code: 'DESKTOP_BUSY' });
  });

  test('needs its pool and a host that is alive', async () => {
    const elsewhere = { id: 'x', poolId: 'nowhere', launchSpec: {}, actor: 'anna' };
    await expect(fixture.ledger.registerDesktop(elsewhere)).rejects.toMatchObject({ code: 'POOL_UNKNOWN' });
    fixture.nowMs += 60_000;
    await expect(register('homeless')).rejects.toMatchObject({ code: 'HOST_UNAVAILABLE' });
    await fixture.hostIsAlive();
    expect(await fixture.ledger.listHosts()).toMatchObject([{ id: 'host-1', alive: true }]);
  });
});

describe('a save', () => {
  test('goes from grace through every phase to saved, and back to running by a restore', async () => {
    const id = await fixture.queued('whole');
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({
      state: 'queued',
      graceDeadline: null,
      operation: { kind: 'save', phase: 'queued', status: 'pending', requestedBy: 'policy' },
    });
    const { fence, takenOver, checkpoint: previous } = await fixture.claimOpen(id, 'save');
    expect({ takenOver, previous }).toEqual({ takenOver: false, previous: null });
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'saving', operation: { phase: 'capture' } });

    const facts = checkpoint();
    expect(await fixture.ledger.beginCheckpoint(fence, facts)).toBe(true);
    expect(await fixture.ledger.progress(fence, { capturedBytes: 10 })).toBe(true);
    expect(await fixture.ledger.authorizeSwitchover(fence)).toBe(true);
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({
      state: 'committing',
      operation: { phase: 'switchover' },
    });
    expect(await fixture.ledger.advance(fence, 'commit')).toBe(true);
    expect(await fixture.ledger.commitCheckpoint(fence, facts)).toBe(true);
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({
      state: 'resident',
      checkpointId: facts.id,
      operation: { phase: 'commit', progress: { capturedBytes: 10 } },
    });
    expect(await fixture.ledger.viewCheckpoint(facts.id)).toMatchObject({
      state: 'durable',
      storedBytes: 5_000_000_000,
    });
    expect(await fixture.ledger.beginRelease(fence)).toBe(true);
    await fixture.ledger.finish(fence, { status: 'succeeded', result: { frozenMs: 12 } });
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'saved', operation: null });
    expect(await fixture.ledger.viewOperation(fence.operationId)).toMatchObject({
      status: 'succeeded',
      phase: 'release',
      result: { frozenMs: 12 },
    });

    await fixture.send(id, 'connect_requested');
    await fixture.send(id, 'connected');
    const restore = await fixture.claimOpen(id, 'restore');
    expect(restore.checkpoint).toMatchObject({ id: facts.id, diskGeneration: facts.diskGeneration });
    expect(await fixture.ledger.advance(restore.fence, 'wake')).toBe(true);
    expect(await fixture.ledger.guestRan(restore.fence, { ttrMs: 700 })).toBe(true);
    expect(await fixture.state(id)).toBe('hydrating');
    const diskGeneration = restore.layer!.generation;
    await fixture.ledger.finish(restore.fence, {
      status: 'succeeded',
      result: { pageRequests: 3 },
      desktop: { diskGeneration },
    });
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'running', operation: null, diskGeneration });
    expect(await fixture.ledger.viewOperation(restore.fence.operationId)).toMatchObject({
      result: { ttrMs: 700, pageRequests: 3 },
    });
  });

  test('that fails leaves the desktop running, the old checkpoint in place, and is tried again later', async () => {
    const id = await fixture.saved('fails');
    const { checkpointId } = await fixture.ledger.viewDesktop(id);
    await fixture.send(id, 'connected');
    await fixture.work(id, 'restore');
    await fixture.send(id, 'disconnected');
    await fixture.waitOutGrace(id);
    const { fence } = await fixture.claimOpen(id, 'save');
    const partial = checkpoint();
    await fixture.ledger.beginCheckpoint(fence, partial);
    const error = { code: 'STORAGE_FULL', message: 'the storage is full', details: {} } as const;
    await fixture.ledger.finish(fence, { status: 'failed', error });
    const desktop = await fixture.ledger.viewDesktop(id);
    expect(desktop).toMatchObject({ state: 'save-failed', checkpointId, lastError: error });

    expect(await fixture.ledger.condemnedCheckpoints(id)).toMatchObject([{ id: partial.id, state: 'condemned' }]);
    await fixture.ledger.markCheckpointDeleted(partial.id);
    expect(await fixture.ledger.condemnedCheckpoints(id)).toEqual([]);

    fixture.nowMs += 60_000;
    await fixture.ledger.graceElapsed(id, desktop.generation);
    expect(await fixture.state(id)).toBe('queued');
  });

  test('condemns the checkpoints that the pool does not keep', async () => {
    const id = await fixture.saved('keeps-two');
    for (let round = 0; round < 2; round += 1) {
      fixture.nowMs += 1_000;
      await fixture.send(id, 'connected');
      await fixture.work(id, 'restore');
      await fixture.send(id, 'disconnected');
      await fixture.waitOutGrace(id);
      const { fence } = await fixture.claimOpen(id, 'save');
      await fixture.ledger.authorizeSwitchover(fence);
      await fixture.ledger.commitCheckpoint(fence, checkpoint());
      await fixture.ledger.beginRelease(fence);
      await fixture.ledger.finish(fence, { status: 'succeeded' });
    }
    const { checkpointId } = await fixture.ledger.viewDesktop(id);
    const states = (await fixture.rows('checkpoints', id)) as { id: string; state: string }[];
    expect(states.map(({ state }) => state).sort()).toEqual(['condemned', 'durable', 'durable']);
    expect(states.find(({ id: each }) => each === checkpointId)?.state).toBe('durable');
  });

  test('by hand is queued at once, joined by a second request, and refused while a user is there', async () => {
    const id = await fixture.inUse('by-hand');
    const ask = () => fixture.ledger.request(id, { kind: 'save', reason: 'maintenance', requestedBy: 'anna' });
    await expect(ask()).rejects.toMatchObject({ code: 'USER_PRESENT' });
    await fixture.send(id, 'disconnected');
    const first = await ask();
    expect(first).toMatchObject({
      joined: false,
      operation: { kind: 'save', reason: 'maintenance', requestedBy: 'anna' },
    });
    expect(await ask()).toMatchObject({ joined: true, operation: { id: first.operation.id } });
    const audited = await fixture.dataSource.query(
      `SELECT actor, action, reason, outcome FROM audit_log WHERE target = $1 AND action = 'desktop.save' ORDER BY id`,
      [id],
    );
    expect(audited.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['USER_PRESENT', 'applied', 'joined']);
  });
});

describe('a fence', () => {
  test('that is no longer in force changes nothing, whatever it is used for', async () => {
    const stale = await fixture.capturing('fenced');
    const id = stale.desktopId;
    await fixture.send(id, 'connected');
    await fixture.ledger.finish(stale, { status: 'cancelled' });
    await fixture.send(id, 'disconnected');
    await fixture.waitOutGrace(id);
    const current = (await fixture.claimOpen(id, 'save')).fence;
    const before = await Promise.all([fixture.ledger.viewDesktop(id), fixture.rows('operations', id)]);

    const strays = [
      stale,
      { ...current, generation: current.generation - 1 },
      { ...current, operationId: stale.operationId },
      { ...current, attempt: current.attempt + 1 },
    ];
    for (const fence of strays) {
      expect(await fixture.ledger.progress(fence, { stray: true })).toBe(false);
      expect(await fixture.ledger.advance(fence, 'capture')).toBe(false);
      expect(await fixture.ledger.beginCheckpoint(fence, checkpoint())).toBe(false);
      expect(await fixture.ledger.authorizeSwitchover(fence)).toBe(false);
      expect(await fixture.ledger.commitCheckpoint(fence, checkpoint())).toBe(false);
      expect(await fixture.ledger.beginRelease(fence)).toBe(false);
      await fixture.ledger.finish(fence, { status: 'failed' });
    }
    expect(await Promise.all([fixture.ledger.viewDesktop(id), fixture.rows('operations', id)])).toEqual(before);
    expect(await fixture.rows('checkpoints', id)).toEqual([]);
  });

  test('does not cover up a success that never happened', async () => {
    const fence = await fixture.resident('liar');
    await expect(fixture.ledger.finish(fence, { status: 'succeeded' })).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(await fixture.state('liar')).toBe('resident');
  });
});

describe('a lease', () => {
  test('keeps other workers away until it runs out; then one takes over and the first is fenced off', async () => {
    const first = await fixture.capturing('leased');
    const claimAs = (workerId: string) => fixture.ledger.claim(first.operationId, first.generation, workerId, leaseMs);
    expect(await claimAs('worker-2')).toBeNull();
    fixture.nowMs += leaseMs - 1;
    expect(await fixture.ledger.renew([first.operationId], 'worker-1', leaseMs)).toEqual([]);
    fixture.nowMs += leaseMs - 1;
    expect(await claimAs('worker-2')).toBeNull();
    fixture.nowMs += 2;
    const [second, third] = await Promise.all([claimAs('worker-2'), claimAs('worker-3')]);
    expect([second, third].filter((claim) => claim !== null)).toHaveLength(1);
    const winner = (second ?? third)!;
    expect(winner).toMatchObject({ takenOver: true, operation: { phase: 'capture', attempt: 2 } });

    expect(await fixture.ledger.renew([first.operationId], 'worker-1', leaseMs)).toEqual([first.operationId]);
    expect(await fixture.ledger.authorizeSwitchover(first)).toBe(false);
    expect(await fixture.state('leased')).toBe('saving');
    expect(await fixture.ledger.authorizeSwitchover(winner.fence)).toBe(true);
    expect(await fixture.ledger.advance(winner.fence, 'capture')).toBe(true);
    expect(await fixture.state('leased')).toBe('saving');
  });

  test('is given again to the worker that holds it', async () => {
    const first = await fixture.capturing('again');
    const again = await fixture.ledger.claim(first.operationId, first.generation, 'worker-1', leaseMs);
    expect(again).toMatchObject({ takenOver: true });
    expect(await fixture.ledger.progress(first, {})).toBe(false);
    expect(await fixture.ledger.progress(again!.fence, {})).toBe(true);
  });
});

describe('the database itself', () => {
  test('holds at most one open operation of a desktop', async () => {
    const id = await fixture.queued('single');
    await expect(
      fixture.dataSource.query(
        `INSERT INTO operations (id, desktop_id, pool_id, kind, phase, status, generation, reason, requested_by, created_at, phase_since)
         VALUES (gen_random_uuid(), $1, 'default', 'stop', 'stop', 'pending', 999, 'x', 'x', now(), now())`,
        [id],
      ),
    ).rejects.toThrow('operations_one_open');
  });

  test('lets nobody change or remove a line of the audit log', async () => {
    await fixture.ledger.recordAudit({ actor: 'anna', action: 'look', target: 'x', outcome: 'refused' });
    for (const statement of [`UPDATE audit_log SET actor = 'eve'`, 'DELETE FROM audit_log', 'TRUNCATE audit_log']) {
      await expect(fixture.dataSource.query(statement)).rejects.toThrow('audit_log is append-only');
    }
    const [{ count }] = await fixture.dataSource.query(`SELECT count(*)::int FROM audit_log WHERE actor = 'anna'`);
    expect(count).toBeGreaterThan(0);
  });
});

describe('what a host finds', () => {
  test('a machine that has gone by itself leaves the desktop off and its timer withdrawn', async () => {
    const id = await fixture.inGrace('crashed');
    expect(await fixture.ledger.reportMachine(id, 'absent')).toMatchObject({
      state: 'off',
      lastError: { code: 'MACHINE_GONE' },
    });
    expect((await fixture.outbox(id)).filter(({ jobId }) => jobId.startsWith('grace-'))).toEqual([]);
  });

  test('a machine where none should be puts the desktop in quarantine', async () => {
    const id = await fixture.saved('doubled');
    expect(await fixture.ledger.reportMachine(id, 'running')).toMatchObject({ state: 'quarantined' });
    await expect(fixture.ledger.request(id, { kind: 'restore', reason: 'x', requestedBy: 'a' })).rejects.toMatchObject({
      code: 'DESKTOP_BUSY',
    });
  });
});

describe('deleting a desktop', () => {
  test('needs it asleep or off', async () => {
    await expect(fixture.ledger.deleteDesktop(await fixture.inUse('awake'), 'anna')).rejects.toMatchObject({
      code: 'DESKTOP_BUSY',
    });
  });

  test('condemns its checkpoints, asks its host to forget it, and keeps its history', async () => {
    const id = await fixture.saved('gone');
    await fixture.ledger.deleteDesktop(id, 'anna');
    await expect(fixture.ledger.viewDesktop(id)).rejects.toMatchObject({ code: 'DESKTOP_UNKNOWN' });
    expect(await fixture.ledger.condemnedCheckpoints(id)).toHaveLength(1);
    expect((await fixture.outbox(id)).at(-1)).toMatchObject({
      queue: 'host.host-1.background',
      jobId: expect.stringMatching(/^forget-gone-/),
    });
    expect((await fixture.ledger.listOperations(id)).map(({ kind }) => kind)).toEqual(['save', 'boot', 'register']);
  });
});

test('desktops are listed page by page', async () => {
  for (const id of ['list-a', 'list-b', 'list-c']) await fixture.off(id);
  const first = await fixture.ledger.listDesktops({ cursor: 'list-', limit: 2 });
  expect(first).toMatchObject({ items: [{ id: 'list-a' }, { id: 'list-b' }], nextCursor: 'list-b' });
  const second = await fixture.ledger.listDesktops({ cursor: first.nextCursor, limit: 1 });
  expect(second.items.map(({ id }) => id)).toEqual(['list-c']);
});

test('what is no id of an operation is simply unknown', async () => {
  await expect(fixture.ledger.viewOperation('nonsense')).rejects.toMatchObject({ code: 'OPERATION_UNKNOWN' });
});
