import { AuditEntryEntity } from '@dormouse/persistence';
import type { AuditEntry } from './commands';
import { insertRow } from './rows';
import type { LedgerTransaction } from './transactions';

export async function recordAudit({ manager, now }: LedgerTransaction, entry: AuditEntry): Promise<void> {
  const { actor, action, target, reason = null, outcome, details = {} } = entry;
  await insertRow(manager, AuditEntryEntity, { at: now, actor, action, target, reason, outcome, details });
}
