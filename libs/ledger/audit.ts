import { DormouseError, errorCodes } from '@dormouse/errors';
import { AuditEntryEntity } from '@dormouse/persistence';
import { LessThan, type DataSource, type EntityManager } from 'typeorm';
import type { AuditView, Page } from '@dormouse/views';
import type { AuditEntry } from './commands';
import { insertRow } from './rows';
import type { LedgerTransaction } from './ledger-transaction';

/** What the audit log is asked for; what is left out is not narrowed by. */
export interface AuditQuery {
  /** `nextCursor` of the page before: an entry's id. */
  readonly cursor?: string | undefined;
  readonly limit: number;
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly target?: string | undefined;
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** So many refusals of the same kind have a line each in a minute. The others of that minute have one together. */
const refusalLinesInAMinute = 10;
const exportedTogether = 1_000;
/** Nobody may remove what happened lately, whatever they say. */
export const auditKeptAtLeastMs = 30 * dayMs;

/** A line in the log. Who is refused again and again cannot make it grow without limit; what was accepted has its line always. */
export async function recordAudit(transaction: LedgerTransaction, entry: AuditEntry): Promise<void> {
  const { manager, now } = transaction;
  if (Object.hasOwn(errorCodes, entry.outcome) && (await isOneTooMany(transaction, entry))) return;
  const { actor, action, target, reason = null, outcome, details = {} } = entry;
  await insertRow(manager, AuditEntryEntity, { at: now, actor, action, target, reason, outcome, details });
}

async function isOneTooMany(
  { manager, now }: LedgerTransaction,
  { actor, action, outcome, target }: AuditEntry,
): Promise<boolean> {
  const [counted]: { refused: number }[] = await manager.query(
    `INSERT INTO audit_refusals AS known (actor, action, outcome, minute, refused, last_target) VALUES ($1, $2, $3, $4, 1, $5)
     ON CONFLICT (actor, action, outcome, minute) DO UPDATE
       SET refused = known.refused + 1, last_target = excluded.last_target
     RETURNING refused`,
    [actor, action, outcome, new Date(Math.floor(now.getTime() / minuteMs) * minuteMs), target],
  );
  return counted!.refused > refusalLinesInAMinute;
}

/** The lines of the refusals that had none of their own, once their minute is over. */
export async function writeCountedRefusals({ manager, now }: LedgerTransaction): Promise<void> {
  await manager.query(
    `WITH counted AS (DELETE FROM audit_refusals WHERE minute <= $1 RETURNING *)
     INSERT INTO audit_log (at, actor, action, target, reason, outcome, details)
       SELECT minute + interval '1 minute', actor, action, last_target, NULL, outcome,
         jsonb_build_object('more', refused - $2::int, 'since', minute)
       FROM counted WHERE refused > $2::int ORDER BY minute`,
    [new Date(now.getTime() - minuteMs), refusalLinesInAMinute],
  );
}

/** All lines older than a moment, oldest first, read a few at a time: the log may be larger than memory. */
export async function* exportAudit(dataSource: DataSource, before: Date): AsyncGenerator<AuditView> {
  for (let after = '0'; ;) {
    const rows: AuditEntryEntity[] = await dataSource.manager.query(
      `SELECT id, at, actor, action, target, reason, outcome, details FROM audit_log WHERE id > $1 AND at < $2
       ORDER BY id LIMIT $3`,
      [after, before, exportedTogether],
    );
    for (const row of rows) yield { ...row, at: row.at.toISOString() };
    if (rows.length < exportedTogether) return;
    after = rows.at(-1)!.id;
  }
}

/**
 * Removes the lines that are older than a moment, and says so in a line of its own. The only door: the table itself refuses every other
 * removal.
 * @returns how many
 * @throws REQUEST_INVALID when the moment is too near
 */
export async function pruneAudit(
  transaction: LedgerTransaction,
  { before, reason, actor }: { readonly before: Date; readonly reason: string; readonly actor: string },
): Promise<number> {
  const { manager, now } = transaction;
  const latest = new Date(now.getTime() - auditKeptAtLeastMs);
  if (before > latest) {
    throw new DormouseError(
      'REQUEST_INVALID',
      `the audit log of the last ${auditKeptAtLeastMs / dayMs} days stays: name a moment before ${latest.toISOString()}`,
    );
  }
  await manager.query(`SELECT set_config('dormouse.audit_pruned_before', $1, true)`, [before.toISOString()]);
  const [, removed]: [unknown, number] = await manager.query('DELETE FROM audit_log WHERE at < $1', [before]);
  const details = { before: before.toISOString(), removed };
  await recordAudit(transaction, {
    actor,
    action: 'audit.prune',
    target: 'audit',
    reason,
    outcome: 'accepted',
    details,
  });
  return removed;
}

/** Newest first. */
export async function listAudit(
  manager: EntityManager,
  { cursor, limit, actor, action, target }: AuditQuery,
): Promise<Page<AuditView>> {
  const rows = await manager.find(AuditEntryEntity, {
    where: {
      ...(cursor !== undefined && { id: LessThan(cursor) }),
      ...(actor !== undefined && { actor }),
      ...(action !== undefined && { action }),
      ...(target !== undefined && { target }),
    },
    order: { id: 'DESC' },
    take: limit + 1,
  });
  const shown = rows.slice(0, limit);
  return {
    items: shown.map((row) => ({ ...row, at: row.at.toISOString() })),
    nextCursor: rows.length > limit ? (shown.at(-1)?.id ?? null) : null,
  };
}
