import { aloneAtIt } from './alone-at-it';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

const dayMs = 24 * 60 * 60_000;

/** How long what has ended is kept: `docs/retention.md` says it in words. */
export const historyKept = {
  /** The last operations of a desktop stay, however old they are: `explain`, expectations and the collector ask for them. */
  lastOperations: 20,
  operationsMs: 90 * dayMs,
  /** All that is left of a desktop that was deleted. Its host removes its files by that. */
  deletedDesktopsMs: 400 * dayMs,
  deletedCheckpointsMs: 90 * dayMs,
  silentBrokersMs: 30 * dayMs,
} as const;

/** Rows that one turn removes of each kind: nobody waits for it. */
const mostAtOnce = 1_000;

/** A part at a time. To be called every few minutes. @returns how many rows were removed */
export function pruneHistory(transactions: Transactions): Promise<number> {
  return transactions.run(async (transaction) => {
    if (!(await aloneAtIt(transaction, 'history'))) return 0;
    return (
      (await remove(transaction, historyKept.operationsMs, oldOperations, historyKept.lastOperations)) +
      (await remove(transaction, historyKept.deletedDesktopsMs, operationsOfDeleted)) +
      (await remove(transaction, historyKept.deletedCheckpointsMs, deletedCheckpoints)) +
      (await remove(transaction, historyKept.silentBrokersMs, silentBrokers))
    );
  });
}

/** Generations of a desktop count up with its operations, and leave some out. */
const oldOperations = `DELETE FROM operations WHERE id IN (
  SELECT o.id FROM operations o WHERE o.ended_at < $1 AND (
    SELECT count(*) FROM (
      SELECT 1 FROM operations later WHERE later.desktop_id = o.desktop_id AND later.generation > o.generation LIMIT $3
    ) AS newer) >= $3
  ORDER BY o.ended_at LIMIT $2)`;

const operationsOfDeleted = `DELETE FROM operations WHERE id IN (
  SELECT o.id FROM operations o WHERE o.ended_at < $1
    AND NOT EXISTS (SELECT 1 FROM desktops d WHERE d.id = o.desktop_id)
    AND NOT EXISTS (SELECT 1 FROM operations later WHERE later.desktop_id = o.desktop_id
      AND (later.ended_at IS NULL OR later.ended_at >= $1))
  ORDER BY o.ended_at LIMIT $2)`;

const deletedCheckpoints = `DELETE FROM checkpoints WHERE id IN (
  SELECT id FROM checkpoints WHERE state = 'deleted' AND condemned_at < $1 ORDER BY condemned_at LIMIT $2)`;

/** One that a desktop still knows stays: the desktop is in doubt because of it. */
const silentBrokers = `DELETE FROM brokers WHERE id IN (
  SELECT b.id FROM brokers b WHERE b.heard_at < $1 AND NOT EXISTS (SELECT 1 FROM desktops d
    WHERE d.presence -> 'sources' @> jsonb_build_array(jsonb_build_object('source', b.id)))
  LIMIT $2)`;

async function remove(
  { manager, now }: LedgerTransaction,
  keptMs: number,
  statement: string,
  ...more: readonly number[]
): Promise<number> {
  const before = new Date(now.getTime() - keptMs);
  const [, removed]: [unknown, number] = await manager.query(statement, [before, mostAtOnce, ...more]);
  return removed;
}
