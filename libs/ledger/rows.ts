import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm';

// Generic on purpose: for a known entity the compiler follows TypeORM's partial type into JSON values without end.

export async function insertRow<Row extends ObjectLiteral>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  row: Partial<Row>,
): Promise<void> {
  await manager.insert(entity, row);
}

/** Writes the changes, and into `row` as well, so that it keeps saying what the table says. */
export async function updateRow<Row extends ObjectLiteral & { id: string }>(
  manager: EntityManager,
  entity: EntityTarget<Row>,
  row: Row,
  changes: Partial<Row>,
): Promise<void> {
  await manager.update(entity, { id: row.id }, changes);
  Object.assign(row, changes);
}
