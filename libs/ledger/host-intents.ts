import { DormouseError } from '@dormouse/errors';
import { HostEntity } from '@dormouse/persistence';
import type { HostIntent, HostView } from '@dormouse/views';
import { recordAudit } from './audit';
import type { HostCommand } from './commands';
import { hostFenced } from './fence-host';
import { holdsHost, type HostProof } from './host-claims';
import { viewHost } from './hosts';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** What an operator asks, and what the host is wanted to be then. */
const intentOf = { cordon: 'cordoned', uncordon: 'open', drain: 'draining', fence: 'fenced' } as const satisfies Record<
  HostCommand['command'],
  HostIntent
>;

/**
 * What operators want of a host. cordon: it gets no more machines. drain: besides, those it has are saved, and woken elsewhere for whom
 * they are in use. fence: the operator vouches that the host is dead, and what it held is given up. uncordon: all is as before.
 * @throws HOST_UNKNOWN; HOST_ALIVE when one is to be fenced that is heard from
 */
export async function changeHost(transactions: Transactions, asked: HostCommand): Promise<HostView> {
  const view = await transactions.run((transaction) => write(transaction, asked));
  if (asked.command === 'fence') await hostFenced(transactions, asked.hostId);
  return view;
}

/** A host that was fenced has come back and ended all that it still ran: it may be uncordoned. */
export function hostCleared(transactions: Transactions, hostId: string, proof: HostProof | null): Promise<void> {
  return transactions.run(async (transaction) => {
    const { manager } = transaction;
    // Where another machine has the name by now, only what this one still ran is settled.
    await manager.query(`UPDATE hosts SET fenced_claim = NULL WHERE id = $1 AND fenced_claim ->> 'directory' = $2`, [
      hostId,
      proof?.directory ?? '',
    ]);
    if (proof !== null && !(await holdsHost(manager, { id: hostId, proof }))) return;
    const { affected } = await manager.update(HostEntity, { id: hostId, intent: 'fenced' }, { intent: 'cordoned' });
    if (affected === 0) return;
    await recordAudit(transaction, {
      actor: `host:${hostId}`,
      action: 'host.cleared',
      target: hostId,
      reason: 'it was fenced, and has ended the machines it still ran',
      outcome: 'applied',
    });
  });
}

async function write(
  transaction: LedgerTransaction,
  { hostId, command, reason, actor }: HostCommand,
): Promise<HostView> {
  const { manager } = transaction;
  const before = await viewHost(transaction, hostId);
  if (command === 'fence' && before.alive) {
    throw new DormouseError(
      'HOST_ALIVE',
      `${hostId} was heard from at ${before.seenAt}; drain it, or see to it that it is off, and wait until it is silent`,
      { hostId },
    );
  }
  if (before.intent === 'fenced' && command !== 'fence') {
    throw new DormouseError(
      'HOST_FENCED',
      `${hostId} is fenced: its worker has to come back and end what it still runs; after that it is cordoned`,
      { hostId },
    );
  }
  const intent = intentOf[command];
  await manager.update(HostEntity, { id: hostId }, { intent, intentReason: reason });
  if (command === 'fence') {
    // The name is free for the machine that takes its place.
    await manager.query('UPDATE hosts SET fenced_claim = coalesce(claim, fenced_claim), claim = NULL WHERE id = $1', [
      hostId,
    ]);
  }
  const outcome = before.intent === intent ? 'ignored' : 'applied';
  await recordAudit(transaction, { actor, action: `host.${command}`, target: hostId, reason, outcome });
  return viewHost(transaction, hostId);
}
