import type { PoolPolicy } from '@dormouse/session';
import { graceMs, leaseMs, LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());
beforeEach(async () => {
  await fixture.dataSource.query('TRUNCATE desktops, operations, checkpoints, disk_generations, outbox CASCADE');
  await caps(undefined);
});

function caps(wanted: PoolPolicy['caps']) {
  const policy = { graceMs, keepCheckpoints: 2, ...(wanted && { caps: wanted }) };
  return fixture.ledger.putPool('default', policy, 'test');
}

async function claim(desktopId: string): Promise<boolean> {
  const { operation } = await fixture.ledger.viewDesktop(desktopId);
  return (await fixture.ledger.claim(operation!.id, operation!.generation, 'worker-1', leaseMs)) !== null;
}

/** Jobs that the outbox has for a desktop and that no dispatcher has taken; taken by this. */
async function jobsOf(desktopId: string): Promise<number> {
  const [rows]: [unknown[], number] = await fixture.dataSource.query(
    `UPDATE outbox SET dispatched_at = now()
     WHERE payload->>'desktopId' = $1 AND action = 'add' AND dispatched_at IS NULL RETURNING id`,
    [desktopId],
  );
  return rows.length;
}

const waitsFor = async (desktopId: string) => (await fixture.ledger.explainDesktop(desktopId)).hindrances;

test('no more desktops of a pool are saved at once than it allows; the next is called when one is done', async () => {
  for (const id of ['a', 'b', 'c']) await fixture.queued(id);
  await caps({ saving: 1 });
  const { fence } = await fixture.claimOpen('a', 'save');
  for (const id of ['b', 'c']) {
    await jobsOf(id);
    expect(await claim(id)).toBe(false);
  }
  expect(await waitsFor('b')).toEqual([
    {
      code: 'POOL_FULL',
      sentence: 'It waits for its pool default, which has 1 of 1 desktops that are saved.',
    },
  ]);
  expect(await fixture.state('b')).toBe('queued');
  await fixture.ledger.finish(fence, { status: 'cancelled' });
  expect([await jobsOf('b'), await jobsOf('c')]).toEqual([1, 0]);
  expect(await claim('b')).toBe(true);
  expect(await waitsFor('b')).toEqual([]);
});

test('what waits for its pool is no work that nobody has, and a cap that is raised lets it begin at once', async () => {
  for (const id of ['a', 'b', 'c']) await fixture.queued(id);
  await caps({ saving: 1 });
  await fixture.claimOpen('a', 'save');
  for (const id of ['b', 'c']) {
    expect(await claim(id)).toBe(false);
    await jobsOf(id);
  }
  await fixture.dataSource.query(`UPDATE operations SET lease_expires_at = lease_expires_at + interval '1 day'`);
  fixture.nowMs += 60_000;
  await fixture.ledger.requeueForgotten({ waitingMs: 30_000, overdueMs: 5_000 });
  expect([await jobsOf('b'), await jobsOf('c')]).toEqual([0, 0]);
  await caps({ saving: 2 });
  expect((await jobsOf('b')) + (await jobsOf('c'))).toBe(1);
  await caps(undefined);
  expect((await jobsOf('b')) + (await jobsOf('c'))).toBe(1);
});

test('who waits for a pool whose worker has died is found by the sweep when its lease has run out', async () => {
  for (const id of ['a', 'b']) await fixture.queued(id);
  await caps({ saving: 1 });
  await fixture.claimOpen('a', 'save');
  expect(await claim('b')).toBe(false);
  await jobsOf('b');
  expect(await fixture.ledger.admitWaiting()).toHaveLength(0);
  fixture.nowMs += leaseMs + 1;
  expect(await fixture.ledger.admitWaiting()).toHaveLength(1);
  expect(await jobsOf('b')).toBe(1);
  // What has begun is taken over whatever the caps: its guest may stand still.
  expect(await claim('b')).toBe(true);
  expect(await claim('a')).toBe(true);
});

test('a pool of which so many may run lets the next user in when one has left, and waiting users before others', async () => {
  await fixture.inUse('a');
  for (const id of ['b', 'c']) await fixture.saved(id);
  await caps({ running: 1 });
  await fixture.ledger.prewarm('b', { reason: 'morning', requestedBy: 'anna' });
  await fixture.send('c', 'connected');
  for (const id of ['b', 'c']) {
    expect(await claim(id)).toBe(false);
    await jobsOf(id);
  }
  expect(await waitsFor('c')).toMatchObject([
    { sentence: 'It waits for its pool default, which has 1 of 1 desktops that run.' },
  ]);
  await fixture.ledger.request('a', { kind: 'stop', reason: 'test', requestedBy: 'anna', force: true });
  await fixture.work('a', 'stop');
  expect([await jobsOf('b'), await jobsOf('c')]).toEqual([0, 1]);
  expect(await claim('c')).toBe(true);
});

test('a guest that runs has given its wake back, while its memory still comes', async () => {
  for (const id of ['a', 'b']) await fixture.saved(id);
  await caps({ waking: 1 });
  await fixture.send('a', 'connected');
  await fixture.send('b', 'connected');
  const { fence } = await fixture.claimOpen('a', 'restore');
  await jobsOf('b');
  expect(await claim('b')).toBe(false);
  expect(await fixture.ledger.guestRan(fence, {})).toBe(true);
  expect(await jobsOf('b')).toBe(1);
  expect(await claim('b')).toBe(true);
});

test('of many who ask at the same moment no more begin than may', async () => {
  const ids = Array.from({ length: 8 }, (_, index) => `many-${index}`);
  for (const id of ids) await fixture.queued(id);
  await caps({ saving: 3 });
  const begun = await Promise.all(ids.map(claim));
  expect(begun.filter(Boolean)).toHaveLength(3);
});

test('a save that waits is called off like any other, and nobody is called for it', async () => {
  for (const id of ['a', 'b']) await fixture.queued(id);
  await caps({ saving: 1 });
  const { fence } = await fixture.claimOpen('a', 'save');
  expect(await claim('b')).toBe(false);
  await jobsOf('b');
  await fixture.send('b', 'connected');
  expect(await fixture.state('b')).toBe('running');
  await fixture.ledger.finish(fence, { status: 'cancelled' });
  expect(await jobsOf('b')).toBe(0);
});
