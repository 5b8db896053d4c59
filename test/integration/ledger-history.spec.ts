import { randomUUID } from 'node:crypto';
import type { AuditView } from '@dormouse/views';
import { LedgerFixture } from './ledger-fixture';

jest.setTimeout(120_000);

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

const query = <T>(sql: string, parameters: unknown[] = []): Promise<T[]> => fixture.dataSource.query(sql, parameters);
const daysAgo = (days: number): Date => new Date(fixture.nowMs - days * dayMs);

async function exported(before: Date): Promise<AuditView[]> {
  const all: AuditView[] = [];
  for await (const entry of fixture.ledger.exportAudit(before)) all.push(entry);
  return all;
}

test('what is refused again and again has a few lines, and one for all the others of its minute', async () => {
  fixture.nowMs = Math.ceil(fixture.nowMs / minuteMs) * minuteMs;
  const refused = { actor: 'key:viewer', action: 'desktop.save', target: 'ada', outcome: 'FORBIDDEN' };
  await Promise.all(Array.from({ length: 100 }, () => fixture.ledger.recordAudit(refused)));
  for (let n = 0; n < 12; n += 1) await fixture.ledger.recordAudit({ ...refused, outcome: 'applied' });
  const lines = (outcome: string) =>
    query<{ details: object }>('SELECT details FROM audit_log WHERE outcome = $1 AND actor = $2 ORDER BY id', [
      outcome,
      'key:viewer',
    ]);
  expect(await lines('FORBIDDEN')).toHaveLength(10);
  expect(await lines('applied')).toHaveLength(12);
  fixture.nowMs += minuteMs;
  await fixture.ledger.forgetOldMessages();
  await fixture.ledger.forgetOldMessages();
  const after = await lines('FORBIDDEN');
  expect(after).toHaveLength(11);
  expect(after.at(-1)!.details).toMatchObject({ more: 90 });
});

test('the audit log is exported oldest first, and pruned only by age, with a line that says so', async () => {
  const old = Array.from({ length: 2_500 }, (_, n) => n);
  await query(
    `INSERT INTO audit_log (at, actor, action, target, outcome)
     SELECT $1::timestamptz + n * interval '1 second', 'key:old', 'desktop.save', 'ada', 'applied' FROM unnest($2::int[]) n`,
    [daysAgo(60), old],
  );
  const lines = await exported(daysAgo(40));
  expect(lines).toHaveLength(old.length);
  expect(lines.map(({ id }) => Number(id))).toEqual(lines.map(({ id }) => Number(id)).sort((one, two) => one - two));
  const why = { reason: 'a year is enough', actor: 'key:admin' };
  await expect(fixture.ledger.pruneAudit({ ...why, before: daysAgo(29) })).rejects.toMatchObject({
    code: 'REQUEST_INVALID',
  });
  expect(await fixture.ledger.pruneAudit({ ...why, before: daysAgo(40) })).toBe(old.length);
  expect(await exported(daysAgo(40))).toEqual([]);
  expect((await fixture.ledger.listAudit({ limit: 1 })).items).toMatchObject([
    { action: 'audit.prune', actor: 'key:admin', reason: why.reason, details: { removed: old.length } },
  ]);
});

test('the table gives up no line but an old one, whatever a session says it prunes', async () => {
  await fixture.dataSource
    .transaction(async (manager) => {
      await manager.query(`SELECT set_config('dormouse.audit_pruned_before', $1, true)`, [daysAgo(1).toISOString()]);
      await expect(manager.query('DELETE FROM audit_log')).rejects.toThrow(/append/);
    })
    .catch((error: Error) => expect(error.message).toMatch(/aborted/));
  await expect(query('DELETE FROM audit_log')).rejects.toThrow(/append/);
});

describe('what has ended long ago', () => {
  const operation = (desktopId: string, generation: number, endedAt: Date | null) =>
    query(
      `INSERT INTO operations (id, desktop_id, kind, phase, status, generation, reason, requested_by, created_at, phase_since, ended_at, pool_id)
       VALUES ($1, $2, 'save', 'capture', $3, $4, 'why', 'policy', $5, $5, $6, 'default')`,
      [randomUUID(), desktopId, endedAt === null ? 'active' : 'succeeded', generation, daysAgo(500), endedAt],
    );
  const generationsOf = async (desktopId: string) =>
    (
      await query<{ generation: number }>('SELECT generation FROM operations WHERE desktop_id = $1 ORDER BY 1', [
        desktopId,
      ])
    ).map(({ generation }) => generation);
  const untilDone = async () => {
    while ((await fixture.ledger.pruneHistory()) > 0);
  };

  test('goes, but for the last operations of each desktop and those that are young', async () => {
    await fixture.off('kept');
    for (let generation = 100; generation < 130; generation += 1) {
      await operation('kept', generation, daysAgo(generation < 120 ? 100 : 10));
    }
    await untilDone();
    const left = await generationsOf('kept');
    expect(left).toEqual(expect.arrayContaining(Array.from({ length: 20 }, (_, n) => 110 + n)));
    expect(left.filter((generation) => generation >= 100 && generation < 110)).toEqual([]);
  });

  test('goes altogether when its desktop was deleted more than a year ago', async () => {
    await operation('long-gone', 1, daysAgo(450));
    await operation('gone-lately', 1, daysAgo(450));
    await operation('gone-lately', 2, daysAgo(300));
    await untilDone();
    expect(await generationsOf('long-gone')).toEqual([]);
    expect(await generationsOf('gone-lately')).toEqual([1, 2]);
  });

  test('is forgotten of checkpoints that were deleted, and of brokers that nobody belongs to', async () => {
    const checkpoint = (state: string, condemnedAt: Date | null) =>
      query(
        `INSERT INTO checkpoints (id, desktop_id, state, storage_prefix, created_at, condemned_at)
         VALUES ($1, 'pruned', $2, 'x', $3, $4)`,
        [randomUUID(), state, daysAgo(500), condemnedAt],
      );
    await checkpoint('deleted', daysAgo(91));
    await checkpoint('deleted', daysAgo(89));
    await checkpoint('condemned', daysAgo(91));
    await checkpoint('writing', null);
    await fixture.inUse('belongs');
    for (const [id, days] of [
      ['/broker', 31],
      ['unheard', 31],
      ['heard', 29],
    ] as const) {
      await query('INSERT INTO brokers (id, interval_seconds, heard_at) VALUES ($1, 30, $2)', [id, daysAgo(days)]);
    }
    await untilDone();
    const states = await query<{ state: string }>(
      `SELECT state FROM checkpoints WHERE desktop_id = 'pruned' ORDER BY 1`,
    );
    expect(states.map(({ state }) => state)).toEqual(['condemned', 'deleted', 'writing']);
    const brokers = await query<{ id: string }>('SELECT id FROM brokers ORDER BY id');
    expect(brokers.map(({ id }) => id)).toEqual(['/broker', 'heard']);
  });
});
