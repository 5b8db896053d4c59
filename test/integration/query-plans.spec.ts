import { OutboxDispatcher, Reconciler } from '@dormouse/jobs';
import { createMetrics } from '@dormouse/observability';
import { RedisFixture, silent } from './jobs-fixture';
import { LedgerFixture } from './ledger-fixture';

jest.setTimeout(120_000);

const many = 10_000;
/** Tables that grow with the desktops and their past. */
const grown = ['desktops', 'operations', 'checkpoints', 'inbox_events', 'outbox', 'data_keys'];

let fixture: LedgerFixture;
let redis: RedisFixture;

/** Desktops that sleep, each with a past. */
beforeAll(async () => {
  fixture = await LedgerFixture.start();
  redis = await RedisFixture.start(fixture.directory);
  await fixture.saved('used');
  const caps = { running: 20_000, waking: 100, saving: 100 };
  await fixture.ledger.putPool('default', { graceMs: 60_000, keepCheckpoints: 2, storm: {}, caps }, 'test');
  const copy = async (table: string, columns: string, values: string, times = 1) =>
    fixture.dataSource.query(
      `INSERT INTO ${table} (${columns}) SELECT ${values} FROM ${table}, generate_series(1, ${many * times}) AS n
       WHERE ${table === 'desktops' ? 'id' : 'desktop_id'} = 'used'`,
    );
  await copy(
    'desktops',
    'id, pool_id, pool_version, host_id, launch_spec, fingerprint, machine_state, state_since, generation, presence, checkpoint_id, created_at, updated_at',
    `'d-' || n, pool_id, pool_version, host_id, launch_spec, '{}', 'saved', state_since, generation, presence, gen_random_uuid(), created_at, updated_at`,
  );
  await copy(
    'operations',
    'id, desktop_id, pool_id, kind, phase, status, generation, reason, requested_by, host_id, progress, created_at, phase_since, ended_at',
    `gen_random_uuid(), 'd-' || n, pool_id, kind, phase, status, generation, reason, requested_by, host_id, '{}', created_at, phase_since, ended_at`,
  );
  await copy(
    'checkpoints',
    'id, desktop_id, state, storage_prefix, facts, created_at, durable_at',
    `gen_random_uuid(), 'd-' || n, state, storage_prefix, '{}', created_at, durable_at`,
  );
  await copy(
    'inbox_events',
    'webhook_id, source, type, desktop_id, data, received_at, outcome',
    `webhook_id || n, source, type, 'd-' || n, data, received_at, outcome`,
  );
  await fixture.dataSource.query(
    `INSERT INTO outbox (action, queue, name, job_id, payload, run_at, created_at, dispatched_at)
     SELECT 'add', 'session', 'grace', 'grace-d-' || n, '{}', now(), now(), now() FROM generate_series(1, ${many}) AS n`,
  );
  await fixture.dataSource.query('ANALYZE');
});
afterAll(async () => {
  await redis.stop();
  await fixture.stop();
});

/** Every statement that Postgres is sent while `work` runs, each text once. */
async function statementsOf(work: () => Promise<unknown>): Promise<Map<string, unknown[]>> {
  const found = new Map<string, unknown[]>();
  const { dataSource } = fixture;
  const { logger } = dataSource;
  dataSource.logger = Object.assign(Object.create(logger) as typeof logger, {
    logQuery: (query: string, values: unknown[] = []) => found.set(query, values),
  });
  try {
    await work();
  } finally {
    dataSource.logger = logger;
  }
  return found;
}

/** As `EXPLAIN (FORMAT JSON)` has it. */
interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly Plans?: readonly PlanNode[];
}

function nodesOf(plan: PlanNode): PlanNode[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

/** What Postgres would read from beginning to end for these statements, left to itself. */
function scans(statements: Map<string, unknown[]>): Promise<string[]> {
  return fixture.dataSource.transaction(async (manager) => {
    await manager.query('SET LOCAL enable_seqscan = on');
    const found: string[] = [];
    for (const [text, values] of statements) {
      if (!/^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b/i.test(text)) continue;
      const [row] = await manager.query(`EXPLAIN (FORMAT JSON) ${text}`, values);
      for (const node of nodesOf(row['QUERY PLAN'][0].Plan as PlanNode)) {
        const table = node['Relation Name'] ?? '';
        if (node['Node Type'] !== 'Seq Scan' || !grown.includes(table)) continue;
        found.push(`${table}: ${text.replace(/\s+/g, ' ')}`);
      }
    }
    return found;
  });
}

test('the watch over the plans sees a scan', async () => {
  const statements = await statementsOf(() => fixture.dataSource.query(`SELECT count(*) FROM desktops`));
  expect(await scans(statements)).toEqual([expect.stringMatching(/^desktops: /)]);
});

test('no event and no step of a wake or a save reads a table from end to end', async () => {
  const statements = await statementsOf(async () => {
    await fixture.send('d-1', 'connect_requested');
    await Promise.all(['d-1', 'd-2', 'd-3'].map((id) => fixture.send(id, 'connected')));
    for (const id of ['d-1', 'd-2']) {
      const { fence } = await fixture.claimOpen(id, 'restore');
      await fixture.ledger.progress(fence, { sentPages: 1 });
      expect(await fixture.ledger.guestRan(fence, {})).toBe(true);
      await fixture.ledger.finish(fence, { status: 'succeeded' });
    }
    await Promise.all([fixture.send('d-1', 'disconnected'), fixture.send('d-2', 'idle')]);
    await fixture.waitOutGrace('d-1', 60_000);
    const { fence } = await fixture.claimOpen('d-1', 'save');
    await fixture.ledger.renew([fence.operationId], 'worker-1', 60_000);
    await fixture.ledger.finish(fence, {
      status: 'failed',
      error: { code: 'STORAGE_FAILED', message: '', details: {} },
    });
    await fixture.ledger.explainDesktop('d-1');
  });
  expect(statements.size).toBeGreaterThan(15);
  expect(await scans(statements)).toEqual([]);
});

test('no sweep does, while nothing is to be done and while something is', async () => {
  const metrics = createMetrics('test');
  const reconciler = new Reconciler({ ledger: fixture.ledger, log: silent, metrics });
  const dispatcher = new OutboxDispatcher({
    dataSource: fixture.dataSource,
    redis: redis.socketPath,
    log: silent,
    sweepMs: 50,
  });
  const statements = await statementsOf(async () => {
    for (const id of [null, 'd-10', 'd-11']) {
      await fixture.ledger.receiveEvent(fixture.delivery('used', 'broker.heartbeat'));
      fixture.nowMs += 100_000; // long enough for a silence
      if (id !== null) await fixture.send(id, 'connect_requested');
      await reconciler.reconcile();
      await fixture.ledger.watchStorms();
      await fixture.ledger.watchBrokers();
      await fixture.ledger.desktopsWithMachine('host-1');
      await fixture.hostIsAlive();
    }
    dispatcher.start();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await dispatcher.stop();
  });
  expect(statements.size).toBeGreaterThan(10);
  expect(await scans(statements)).toEqual([]);
});
