import { createDataSource, runMigrations } from '@dormouse/persistence';
import { migrations } from '../../migrations';
import { LedgerFixture } from './ledger-fixture';

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

async function onFreshDatabase(name: string, work: (url: string) => Promise<void>): Promise<void> {
  await fixture.dataSource.query(`CREATE DATABASE ${name}`);
  await work(fixture.postgres.urlOf(name));
}

test('processes that start together bring the schema up to date once', async () => {
  await onFreshDatabase('together', async (url) => {
    const sources = [1, 2, 3].map(() => createDataSource(url, { poolSize: 2 }));
    await Promise.all(sources.map((source) => source.initialize()));
    const runs = await Promise.all(sources.map(runMigrations));
    expect(runs.flat()).toEqual(migrations.map(({ name }) => name));
    await Promise.all(sources.map((source) => source.destroy()));
  });
});

test('the entities say what the migrations made', async () => {
  const tables = fixture.dataSource.entityMetadatas;
  for (const { tableName, columns } of tables) {
    const described: { column_name: string; is_nullable: string }[] = await fixture.dataSource.query(
      `SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = $1`,
      [tableName],
    );
    const inDatabase = described.map((column) => [column.column_name, column.is_nullable === 'YES']);
    expect(columns.map((column) => [column.databaseName, column.isNullable]).sort()).toEqual(inDatabase.sort());
  }
});

test('a schema that was made can be taken down again', async () => {
  await onFreshDatabase('undone', async (url) => {
    const source = createDataSource(url);
    await source.initialize();
    await runMigrations(source);
    for (const _ of migrations) await source.undoLastMigration();
    const tables = await source.query(`SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`);
    expect(tables).toEqual([{ table_name: 'migrations' }]);
    await source.destroy();
  });
});

test('what is no url of a Postgres is refused', () => {
  expect(() => createDataSource('mysql://x')).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
});
