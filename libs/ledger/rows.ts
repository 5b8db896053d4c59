import type { EntityManager, EntityMetadata, EntityTarget, ObjectLiteral } from 'typeorm';

// Statements made from the entities' columns. TypeORM's own way through a query builder takes a processor longer than Postgres
// needs for the statement, and knows no update of many rows.

type Row = ObjectLiteral & { id: string };

export async function insertRow<R extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<R>,
  row: Partial<R>,
): Promise<void> {
  const { tablePath, columns } = metadataOf(manager, entity);
  const given = columns.filter(({ propertyName, isInsert }) => isInsert && row[propertyName] !== undefined);
  const values = given.map((column) => stored(manager, column, row[column.propertyName]));
  await manager.query(
    `INSERT INTO ${tablePath} (${given.map(({ databaseName }) => databaseName).join(', ')})
     VALUES (${given.map((_, index) => `$${index + 1}`).join(', ')})`,
    values,
  );
}

/**
 * Many in one statement; each must have the same properties as the first.
 * @param known what becomes of one whose key is in the table already
 * @returns how many were new
 */
export async function insertRows<R extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<R>,
  rows: readonly R[],
  known: 'refuse' | 'leave out' = 'refuse',
): Promise<number> {
  const [first] = rows;
  if (first === undefined) return 0;
  const { tablePath, columns } = metadataOf(manager, entity);
  const given = columns.filter(({ propertyName }) => propertyName in first);
  const names = given.map(({ databaseName }) => databaseName).join(', ');
  const inserted: readonly unknown[] = await manager.query(
    `INSERT INTO ${tablePath} (${names}) SELECT ${names} FROM jsonb_populate_recordset(NULL::${tablePath}, $1)
     ${known === 'leave out' ? 'ON CONFLICT DO NOTHING' : ''} RETURNING 1`,
    [recordsOf(given, rows)],
  );
  return inserted.length;
}

/** Writes the changes, and into `row` as well, so that it keeps saying what the table says. */
export async function updateRow<R extends Row>(
  manager: EntityManager,
  entity: EntityTarget<R>,
  row: R,
  changes: Partial<R>,
): Promise<void> {
  const { tablePath, columns } = metadataOf(manager, entity);
  const given = columns.filter(({ propertyName }) => changes[propertyName] !== undefined);
  const values = given.map((column) => stored(manager, column, changes[column.propertyName]));
  const assignments = given.map(({ databaseName }, index) => `${databaseName} = $${index + 2}`);
  await manager.query(`UPDATE ${tablePath} SET ${assignments.join(', ')} WHERE id = $1`, [row.id, ...values]);
  Object.assign(row, changes);
}

export type RowChanges<R extends Row> = Partial<R> & Pick<R, 'id'>;

/** Writes the changes of many rows in one statement; each must name the same properties as the first. */
export async function updateRows<R extends Row>(
  manager: EntityManager,
  entity: EntityTarget<R>,
  changes: readonly RowChanges<R>[],
): Promise<void> {
  const [first] = changes;
  if (first === undefined) return;
  const { tablePath, columns } = metadataOf(manager, entity);
  const given = columns.filter(({ propertyName }) => propertyName in first);
  const assignments = given.flatMap(({ databaseName: name, isPrimary }) =>
    isPrimary ? [] : `${name} = given.${name}`,
  );
  // The ids once more by themselves: Postgres cannot know how few the records are, and would read all of a large table.
  await manager.query(
    `UPDATE ${tablePath} AS kept SET ${assignments.join(', ')}
     FROM jsonb_populate_recordset(NULL::${tablePath}, $1) AS given WHERE kept.id = given.id AND kept.id = ANY ($2)`,
    [recordsOf(given, changes), changes.map(({ id }) => id)],
  );
}

/** @param rest what comes after the table's name: `WHERE`, `ORDER BY`, `FOR UPDATE`, by the names of the columns */
export async function selectRows<R extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<R> & (new () => R),
  rest: string,
  values: readonly unknown[],
): Promise<R[]> {
  const { tablePath, columns } = metadataOf(manager, entity);
  const list = columns.map(({ databaseName, propertyName }) => `${databaseName} AS "${propertyName}"`).join(', ');
  const found: R[] = await manager.query(`SELECT ${list} FROM ${tablePath} ${rest}`, [...values]);
  const transformed = columns.filter(({ transformer }) => transformer !== undefined);
  return found.map((row) => {
    const read = Object.assign(new entity(), row);
    for (const column of transformed) {
      Object.assign(read, { [column.propertyName]: hydrated(manager, column, row[column.propertyName]) });
    }
    return read;
  });
}

/** As `jsonb_populate_recordset` takes them. */
function recordsOf(columns: EntityMetadata['columns'], rows: readonly ObjectLiteral[]): string {
  return JSON.stringify(
    rows.map((row) =>
      Object.fromEntries(columns.map(({ databaseName, propertyName }) => [databaseName, row[propertyName] as unknown])),
    ),
  );
}

function metadataOf<R extends ObjectLiteral>(manager: EntityManager, entity: EntityTarget<R>): EntityMetadata {
  return manager.connection.getMetadata(entity);
}

/** As the driver wants it: an array in a `jsonb` column would otherwise be taken for an array of Postgres. */
function stored(manager: EntityManager, column: EntityMetadata['columns'][number], value: unknown): unknown {
  return manager.connection.driver.preparePersistentValue(value, column) as unknown;
}

function hydrated(manager: EntityManager, column: EntityMetadata['columns'][number], value: unknown): unknown {
  return manager.connection.driver.prepareHydratedValue(value, column) as unknown;
}
