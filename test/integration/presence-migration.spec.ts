import { createDataSource, runMigrations } from '@dormouse/persistence';
import { SessionLedger } from '@dormouse/ledger';
import { parseBrokerEvent, type JsonObject } from '@dormouse/session';
import { PresenceBySource1798200000000 } from '../../migrations/1798200000000-presence-by-source';
import { DesktopsBelongToBrokers1798800200000 } from '../../migrations/1798800200000-desktops-belong-to-brokers';
import { DesktopsByKey1798800300000 } from '../../migrations/1798800300000-desktops-by-key';
import { LedgerFixture } from './ledger-fixture';

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

const empty = { connections: [], brokerEpoch: 'e1', sequence: 4, ahead: [], complete: true, pastEpochs: ['e0'] };
const old: Record<string, { state: string; presence: JsonObject; columns?: JsonObject }> = {
  used: {
    state: 'running',
    presence: { ...empty, connections: ['c1'] },
    columns: { idle_since: '2030-01-01T00:00:00Z' },
  },
  left: {
    state: 'grace',
    presence: empty,
    columns: { absent_since: '2030-01-01T00:00:00Z', absence_cause: 'network' },
  },
  gap: {
    state: 'running',
    presence: {
      ...empty,
      connections: ['c1'],
      ahead: [
        { sequence: 7, closed: 'c1' },
        { sequence: 8, opened: 'c2' },
      ],
    },
    columns: { doubt_since: '2030-01-01T00:00:00Z' },
  },
  lost: { state: 'running', presence: { ...empty, complete: false }, columns: { doubt_since: '2030-01-01T00:00:00Z' } },
  asleep: { state: 'saved', presence: { ...empty, complete: false }, columns: { doubt_since: '2030-01-01T00:00:00Z' } },
  silent: { state: 'running', presence: { ...empty, silent: true }, columns: { doubt_since: '2030-01-01T00:00:00Z' } },
  given: {
    state: 'saved',
    presence: empty,
    columns: { assignment: { kind: 'assigned', userRef: 'ada', brokerEpoch: 'e1', sequence: 2 } },
  },
  untold: {
    state: 'off',
    presence: { ...empty, brokerEpoch: null, sequence: null, pastEpochs: [] },
    columns: { broker: null },
  },
};

const usualRow = {
  pool_id: 'default',
  pool_version: 0,
  launch_spec: {},
  state_since: '2030-01-01T00:00:00Z',
  generation: 1,
  broker: ' /eu',
  logged_off: false,
  untouched: false,
  restore_failures: 0,
  wakes_in_vain: 0,
  save_failures: 0,
  created_at: '2030-01-01T00:00:00Z',
  updated_at: '2030-01-01T00:00:00Z',
};

test('what was kept for all brokers of a desktop becomes what the one said that spoke last', async () => {
  await fixture.dataSource.query('CREATE DATABASE earlier');
  const source = createDataSource(fixture.postgres.urlOf('earlier'));
  await source.initialize();
  await runMigrations(source);
  const migration = new PresenceBySource1798200000000();
  const runner = source.createQueryRunner();
  await migration.down(runner);
  const ledger = new SessionLedger(source, { now: () => new Date(), onOutbox: () => undefined });
  await source.query(
    `INSERT INTO pools (id, policy, created_at, updated_at)
     VALUES ('default', '{"graceMs": 1000, "keepCheckpoints": 1}', now(), now()) ON CONFLICT DO NOTHING`,
  );
  for (const [id, { state, presence, columns = {} }] of Object.entries(old)) {
    const row = { id, ...usualRow, machine_state: state, presence, ...columns };
    const names = Object.keys(row).join(', ');
    await source.query(
      `INSERT INTO desktops (${names}) SELECT ${names} FROM jsonb_populate_record(NULL::desktops, $1)`,
      [JSON.stringify(row)],
    );
  }
  await migration.up(runner);
  await runner.release();

  const seen = async (id: string) => {
    const { presence, assignment } = await ledger.viewDesktop(id);
    const { occupancy, connections, brokerEpoch, sequence, sources } = presence;
    return { occupancy, connections, brokerEpoch, sequence, by: sources.map((one) => one.source), assignment };
  };
  const usual = { brokerEpoch: 'e1', sequence: 4, by: ['/eu'], assignment: null };
  expect(await seen('used')).toEqual({ ...usual, occupancy: 'present', connections: ['c1'] });
  expect((await ledger.viewDesktop('used')).presence.idleSince).toBe('2030-01-01T00:00:00.000Z');
  expect(await seen('left')).toEqual({ ...usual, occupancy: 'empty', connections: [] });
  expect(await seen('gap')).toEqual({ ...usual, occupancy: 'unknown', connections: ['c2'], sequence: 8 });
  expect(await seen('lost')).toEqual({ ...usual, occupancy: 'unknown', connections: [] });
  expect(await seen('asleep')).toEqual({ ...usual, occupancy: 'empty', connections: [] });
  expect(await seen('silent')).toEqual({ ...usual, occupancy: 'unknown', connections: [] });
  expect((await seen('given')).assignment).toEqual({ kind: 'assigned', userRef: 'ada' });
  expect(await seen('untold')).toMatchObject({ occupancy: 'empty', by: [], brokerEpoch: null });

  const send = (id: string, type: string, data: JsonObject) =>
    ledger.receiveEvent({
      webhookId: `${id} ${type} ${JSON.stringify(data)}`,
      event: parseBrokerEvent({
        specversion: '1.0',
        id: `${id} ${type} ${JSON.stringify(data)}`,
        source: '/eu',
        type,
        data: { desktopId: id, brokerEpoch: 'e1', connectionId: 'c1', ...data },
      }),
    });
  const missing = await send('gap', 'vdc.session.idle', { sequence: 5 });
  expect(missing.desktop?.presence.occupancy).toBe('unknown');
  const filled = await send('gap', 'vdc.session.active', { sequence: 6 });
  expect(filled.desktop?.presence).toMatchObject({ occupancy: 'present', connections: ['c2'] });
  expect((await send('left', 'vdc.session.connected', { sequence: 4 })).outcome).toBe('stale');
  expect((await send('left', 'vdc.session.connected', { sequence: 5 })).desktop?.state).toBe('running');
  await source.destroy();
});

test('a desktop belongs to the only broker that has assigned it; pools whose desktops several have assigned take all brokers', async () => {
  await fixture.dataSource.query('CREATE DATABASE shared');
  const source = createDataSource(fixture.postgres.urlOf('shared'));
  await source.initialize();
  await runMigrations(source);
  const migration = new DesktopsBelongToBrokers1798800200000();
  const runner = source.createQueryRunner();
  await migration.down(runner);
  for (const [id, more] of Object.entries({ alone: {}, shared: {}, named: { brokers: ['/eu'] } })) {
    await source.query('INSERT INTO pools (id, policy, created_at, updated_at) VALUES ($1, $2, now(), now())', [
      id,
      { graceMs: 1000, keepCheckpoints: 1, ...more },
    ]);
  }
  const told: Record<string, [pool: string, ...brokers: string[]]> = {
    untold: ['alone'],
    one: ['alone', '/eu'],
    connected: ['alone', '/eu'],
    tried: ['alone', '/eu', 'dormouse-cli'],
    byHand: ['alone', 'dormouse-cli'],
    two: ['shared', '/eu', '/us'],
    second: ['shared', '/us'],
    both: ['named', '/eu', '/us'],
  };
  for (const [id, [pool, ...brokers]] of Object.entries(told)) {
    const assignment = id === 'connected' ? null : { kind: 'assigned', userRef: 'ada' };
    const presence = { sources: brokers.map((one) => ({ source: one, connections: [], assignment })) };
    const row = { id, ...usualRow, pool_id: pool, machine_state: 'off', presence, broker: brokers.at(-1) ?? null };
    const names = Object.keys(row)
      .filter((name) => name !== 'logged_off')
      .join(', ');
    await source.query(
      `INSERT INTO desktops (${names}) SELECT ${names} FROM jsonb_populate_record(NULL::desktops, $1)`,
      [JSON.stringify(row)],
    );
  }
  await migration.up(runner);
  await runner.release();
  const owners: { id: string; broker: string | null }[] = await source.query('SELECT id, broker FROM desktops');
  const none = { untold: null, connected: null, byHand: null, two: null, both: null };
  expect(Object.fromEntries(owners.map(({ id, broker }) => [id, broker]))).toEqual({
    ...none,
    one: '/eu',
    tried: '/eu',
    second: '/us',
  });
  const pools: { id: string; brokers: unknown }[] = await source.query(
    `SELECT id, policy -> 'brokers' AS brokers FROM pools WHERE id <> 'default' ORDER BY id`,
  );
  expect(pools.map(({ brokers }) => brokers)).toEqual([null, ['/eu'], 'any']);
  await source.destroy();
});

test('two desktops whose names differ in capitals alone are named, and nothing is changed, before a name is one desktop’s', async () => {
  await fixture.dataSource.query('CREATE DATABASE capitals');
  const source = createDataSource(fixture.postgres.urlOf('capitals'));
  await source.initialize();
  await runMigrations(source);
  const migration = new DesktopsByKey1798800300000();
  const runner = source.createQueryRunner();
  await migration.down(runner);
  const ledger = new SessionLedger(source);
  await ledger.putPool('default', { graceMs: 1000, keepCheckpoints: 1 }, 'test');
  await source.query(`INSERT INTO desktops (id, pool_id, launch_spec, machine_state, state_since, generation, presence,
    created_at, updated_at) SELECT id, 'default', '{}', 'off', now(), 1, '{"sources": []}', now(), now()
    FROM unnest(ARRAY['vdi_01', 'VDI_01', 'other']) AS id`);
  await expect(migration.up(runner)).rejects.toThrow(
    /there are: (vdi_01 and VDI_01|VDI_01 and vdi_01)\. Delete one of each/,
  );
  await source.query(`DELETE FROM desktops WHERE id = 'VDI_01'`);
  await migration.up(runner);
  expect(await ledger.viewDesktop('vdi_01')).toMatchObject({ id: 'vdi_01' });
  await runner.release();
  await source.destroy();
});
