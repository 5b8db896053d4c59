import { AuditEntryEntity } from '@dormouse/persistence';
import { LessThan, type EntityManager } from 'typeorm';
import type { AuditEntry } from './commands';
import { insertRow } from './rows';
import type { LedgerTransaction } from './transactions';
import type { AuditView, Page } from './views';

/** What the audit log is asked for; what is left out is not narrowed by. */
export interface AuditQuery {
  /** `nextCursor` of the page before: an entry's id. */
  readonly cursor?: string | undefined;
  readonly limit: number;
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly target?: string | undefined;
}

export async function recordAudit({ manager, now }: LedgerTransaction, entry: AuditEntry): Promise<void> {
  const { actor, action, target, reason = null, outcome, details = {} } = entry;
  await insertRow(manager, AuditEntryEntity, { at: now, actor, action, target, reason, outcome, details });
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
