import { setTimeout as sleep } from 'node:timers/promises';
import type { QueryRunner } from 'typeorm';
import { LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
let connection: QueryRunner;

beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
beforeEach(() => {
  connection = fixture.dataSource.createQueryRunner();
});
afterEach(() => connection.release());
afterAll(() => fixture.stop());

async function prepared(like: string): Promise<number> {
  const [{ count }] = await connection.query(
    `SELECT count(*)::int AS count FROM pg_prepared_statements WHERE statement LIKE '${like}'`,
  );
  return count as number;
}

test('a statement that comes again is prepared once, whatever its values', async () => {
  for (const value of [1, 2, 3]) {
    expect(await connection.query('SELECT $1::int + 1 AS sum', [value])).toEqual([{ sum: value + 1 }]);
  }
  expect(await prepared('SELECT $1::int + 1 AS sum')).toBe(1);
  expect((await connection.query('SELECT $1::int + 1 AS sum', [7], true)).records).toEqual([{ sum: 8 }]);
});

test('one that has no parameters is not, nor one that Postgres refuses', async () => {
  await connection.query('SELECT 7 AS seven');
  await expect(connection.query('SELECT $1::int + nothing', [1])).rejects.toMatchObject({ code: '42703' });
  await expect(connection.query('SELECT $1::int + nothing', [1])).rejects.toMatchObject({ code: '42703' });
  expect(await prepared('SELECT 7%')).toBe(0);
  expect(await prepared('%+ nothing')).toBe(0);
});

test('statements that are sent together are done in their order, and a failure undoes what came with it', async () => {
  await connection.query('CREATE TEMPORARY TABLE numbers (n int PRIMARY KEY)');
  await connection.startTransaction();
  const insert = (n: number) => connection.query('INSERT INTO numbers (n) VALUES ($1)', [n]);
  const count = () => connection.query('SELECT count(*)::int AS count FROM numbers WHERE n > $1', [0]);
  const counts = await Promise.all([insert(1), count(), insert(2), count()]);
  expect([counts[1], counts[3]]).toEqual([[{ count: 1 }], [{ count: 2 }]]);
  const settled = await Promise.allSettled([insert(3), insert(1), insert(4)]);
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
  await connection.rollbackTransaction();
  expect(await count()).toEqual([{ count: 0 }]);
});

test('a statement that was planned for an empty table finds its rows by an index when that has grown', async () => {
  await connection.query('CREATE TEMPORARY TABLE growing (id text PRIMARY KEY, at int)');
  await connection.query('ANALYZE growing');
  const find = (id: string) => connection.query('SELECT at FROM growing WHERE id = $1', [id]);
  for (let turn = 0; turn < 10; turn++) expect(await find('none')).toEqual([]);
  await connection.query(`INSERT INTO growing SELECT 'row-' || n, n FROM generate_series(1, 10000) AS n`);
  expect(await find('row-77')).toEqual([{ at: 77 }]);
  const [{ name }] = await connection.query(
    `SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT at FROM growing%' AND generic_plans > 0`,
  );
  const [row] = await connection.query(`EXPLAIN (FORMAT JSON) EXECUTE "${name}" ('row-77')`);
  expect(JSON.stringify(row)).not.toContain('Seq Scan');
});

test('a connection that nobody uses, and what it has prepared, stays for longer than the driver would keep it', async () => {
  const prepares = (): Promise<unknown> => fixture.dataSource.query('SELECT $1::int AS "of one that stays"', [1]);
  await prepares();
  await sleep(11_000);
  expect(await prepared('%of one that stays%')).toBe(1);
});

// The last one: the connection prepares nothing more.
test('however many statements there are, a connection keeps no more than a few hundred', async () => {
  for (let n = 0; n < 300; n++) {
    expect(await connection.query(`SELECT $1::int + ${n} AS sum`, [1])).toEqual([{ sum: n + 1 }]);
  }
  expect(await prepared('%')).toBeLessThanOrEqual(200);
});
