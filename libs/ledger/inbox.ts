import { createHash } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import { InboxEventEntity } from '@dormouse/persistence';
import { isDesktopEvent, type BrokerEvent } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import type { Delivery, Receipt } from './commands';
import { insertRows } from './rows';
import type { LedgerTransaction } from './ledger-transaction';

/** What is kept of a webhook that was received; null in rows from before these were kept. */
interface Received {
  readonly webhookId: string;
  readonly source: string;
  readonly eventId: string | null;
  readonly digest: string | null;
}

/** `new`; received before, so that nothing is to be done; or an id that belongs to something else, which is refused. */
export type Verdict = 'new' | 'duplicate' | DormouseError;

export const seenBefore = 'this event, or a webhook of this id, was received before';

/**
 * What was received of some events before. An event is known by its broker and its own id, whatever brings it, and a webhook by its
 * broker and its id. Either under the same id with another content is a mistake of the broker that nobody must take for a repetition.
 */
export class Inbox {
  private readonly byWebhook = new Map<string, Received>();
  private readonly byEvent = new Map<string, Received>();

  private constructor(received: readonly Received[]) {
    for (const one of received) this.remember(one);
  }

  static async of(manager: EntityManager, deliveries: readonly Delivery[]): Promise<Inbox> {
    const columns = 'webhook_id AS "webhookId", source, event_id AS "eventId", digest';
    return new Inbox(
      await manager.query<Received[]>(
        `SELECT ${columns} FROM inbox_events WHERE webhook_id = ANY ($1)
         UNION ALL SELECT ${columns} FROM inbox_events WHERE event_id = ANY ($2)`,
        [deliveries.map(({ webhookId }) => webhookId), deliveries.map(({ event }) => event.id)],
      ),
    );
  }

  /** Those that are new are known from then on. */
  take({ webhookId, event }: Delivery): Verdict {
    const { id, source } = event;
    const digest = digestOf(event);
    const delivered = this.byWebhook.get(keyOf(source, webhookId));
    if (delivered !== undefined) {
      const isSame = delivered.eventId === null || (delivered.eventId === id && delivered.digest === digest);
      return isSame ? 'duplicate' : reused('WEBHOOK_ID_REUSED', `the webhook-id ${webhookId}`, source);
    }
    const known = this.byEvent.get(keyOf(source, id));
    if (known !== undefined) {
      return known.digest === digest ? 'duplicate' : reused('EVENT_ID_REUSED', `the event id ${id}`, source);
    }
    this.remember({ webhookId, source, eventId: id, digest });
    return 'new';
  }

  private remember(received: Received): void {
    const { webhookId, source, eventId } = received;
    this.byWebhook.set(keyOf(source, webhookId), received);
    if (eventId !== null) this.byEvent.set(keyOf(source, eventId), received);
  }
}

/** Two of the same at the same moment: the second waits here for the first to commit. */
export async function storeOnce(
  transaction: LedgerTransaction,
  delivery: Delivery,
  outcome: Receipt['outcome'],
): Promise<Verdict> {
  const row = inboxRow(transaction, delivery, outcome);
  if ((await insertRows(transaction.manager, InboxEventEntity, [row], 'leave out')) > 0) return 'new';
  const verdict = (await Inbox.of(transaction.manager, [delivery])).take(delivery);
  return verdict === 'new' ? 'duplicate' : verdict; // what kept it from being stored was forgotten a moment later
}

export function inboxRow(
  { now }: LedgerTransaction,
  { webhookId, event, notes = [] }: Delivery,
  outcome: Receipt['outcome'],
): InboxEventEntity {
  const { id, source, type, data, occurredAt } = event;
  return {
    webhookId,
    source,
    eventId: id,
    digest: digestOf(event),
    type,
    desktopId: isDesktopEvent(event) ? event.desktopId : null,
    data,
    notes: notes.length === 0 ? null : notes,
    occurredAt: occurredAt === null ? null : new Date(occurredAt),
    receivedAt: now,
    outcome,
  };
}

/** Of what an event says, however it is written: the order of members, and by which mode of CloudEvents it came, do not count. */
function digestOf({ type, occurredAt, data }: BrokerEvent): string {
  const content = JSON.stringify([type, occurredAt, data], (_, value: unknown) => inOrder(value));
  return createHash('sha256').update(content).digest('base64');
}

function inOrder(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** Neither a source nor an id holds a line break. */
function keyOf(source: string, id: string): string {
  return `${source}\n${id}`;
}

function reused(code: 'WEBHOOK_ID_REUSED' | 'EVENT_ID_REUSED', what: string, source: string): DormouseError {
  return new DormouseError(
    code,
    `${what} of ${source} came before with another content, and nothing was done now: give each event an id of its own`,
    { source },
  );
}
