import { DormouseError } from '@dormouse/errors';
import { CheckpointEntity, DesktopEntity, OperationEntity } from '@dormouse/persistence';
import { openStatuses } from '@dormouse/session';
import { In, MoreThan, type EntityManager } from 'typeorm';
import type { CheckpointView, DesktopView, ExpectedOperationView, OperationView, Page } from '@dormouse/views';
import { asCheckpointView, asDesktopView, asOperationView } from './as-view';
import { findOpenOperation, unknownDesktop } from './loaded-desktop';
import { expected } from './operation-eta';
import type { Transactions } from './transactions';

/** Of several statements: what the later ones read is not newer than what the first has. */
function inOneSnapshot<T>(manager: EntityManager, read: (snapshot: EntityManager) => Promise<T>): Promise<T> {
  return manager.transaction('REPEATABLE READ', read);
}

/** @throws DESKTOP_UNKNOWN */
export function viewDesktop(manager: EntityManager, desktopId: string): Promise<DesktopView> {
  return inOneSnapshot(manager, async (snapshot) => {
    const row = (await snapshot.findOneBy(DesktopEntity, { id: desktopId })) ?? unknownDesktop(desktopId);
    return asDesktopView(row, await findOpenOperation(snapshot, desktopId));
  });
}

interface DesktopPage {
  readonly cursor?: string | null;
  readonly limit: number;
  readonly pools?: readonly string[] | null;
}

export function listDesktops(manager: EntityManager, page: DesktopPage): Promise<Page<DesktopView>> {
  return inOneSnapshot(manager, (snapshot) => readDesktops(snapshot, page));
}

async function readDesktops(
  manager: EntityManager,
  { cursor, limit, pools = null }: DesktopPage,
): Promise<Page<DesktopView>> {
  const rows = await manager.find(DesktopEntity, {
    where: { ...(cursor && { id: MoreThan(cursor) }), ...(pools !== null && { poolId: In([...pools]) }) },
    order: { id: 'ASC' },
    take: limit + 1,
  });
  const shown = rows.slice(0, limit);
  const open = await manager.findBy(OperationEntity, {
    desktopId: In(shown.map(({ id }) => id)),
    status: In([...openStatuses]),
  });
  const openOf = new Map(open.map((operation) => [operation.desktopId, operation]));
  return {
    items: shown.map((row) => asDesktopView(row, openOf.get(row.id) ?? null)),
    nextCursor: rows.length > limit ? (shown.at(-1)?.id ?? null) : null,
  };
}

export function viewOperation(transactions: Transactions, operationId: string): Promise<ExpectedOperationView> {
  return transactions.run(async ({ manager, now }) => {
    const row = await findOperation(manager, operationId);
    return { ...asOperationView(row), eta: await expected(manager, row, now) };
  });
}

/** @throws OPERATION_UNKNOWN */
export async function findOperation(manager: EntityManager, operationId: string): Promise<OperationEntity> {
  const row = isUuid(operationId) ? await manager.findOneBy(OperationEntity, { id: operationId }) : null;
  if (row === null) {
    throw new DormouseError('OPERATION_UNKNOWN', `there is no operation ${operationId}`, { operationId });
  }
  return row;
}

/** @param pools null: those that happened in any */
export async function listOperations(
  manager: EntityManager,
  desktopId: string,
  { pools, limit }: { pools: readonly string[] | null; limit: number },
): Promise<readonly OperationView[]> {
  const rows = await manager.find(OperationEntity, {
    where: { desktopId, ...(pools !== null && { poolId: In([...pools]) }) },
    order: { generation: 'DESC' },
    take: limit,
  });
  return rows.map(asOperationView);
}

export async function viewCheckpoint(manager: EntityManager, checkpointId: string): Promise<CheckpointView> {
  const row = isUuid(checkpointId) ? await manager.findOneBy(CheckpointEntity, { id: checkpointId }) : null;
  if (row === null) {
    throw new DormouseError('CHECKPOINT_UNKNOWN', `there is no checkpoint ${checkpointId}`, { checkpointId });
  }
  return asCheckpointView(row);
}

/** Postgres refuses other texts with an error of its own, where the answer is simply that there is none. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
