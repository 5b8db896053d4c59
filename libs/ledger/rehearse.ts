import { decide, isDesktopEvent, isEnding, type Decision, type Pool, type Session } from '@dormouse/session';
import { desktopKey } from '@dormouse/text';
import type { EntityManager } from 'typeorm';
import type { RehearsedView } from '@dormouse/views';
import type { Delivery } from './commands';
import { Inbox, seenBefore } from './inbox';
import { readDesktop, registeredId, sessionOf } from './loaded-desktop';
import type { Transactions } from './transactions';

interface Stage {
  readonly pool: Pool;
  session: Session;
}

/**
 * What these webhooks would lead to if they came now, one after the other. Decides in memory, on desktops as they are: nothing
 * is written, nobody waits, and whatever else happens meanwhile is not taken into account.
 */
export function rehearse(
  transactions: Transactions,
  deliveries: readonly Delivery[],
): Promise<readonly RehearsedView[]> {
  return transactions.run(async ({ manager, now }) => {
    const inbox = await Inbox.of(manager, deliveries);
    const stages = new Map<string, Stage | null>();
    for (const { event } of deliveries) {
      if (!isDesktopEvent(event) || stages.has(desktopKey(event.desktopId))) continue;
      stages.set(desktopKey(event.desktopId), await stageOf(manager, event.desktopId));
    }
    return deliveries.map((delivery) => {
      const verdict = inbox.take(delivery);
      if (verdict === 'new') return rehearsed(delivery, stages, now.getTime());
      return verdict === 'duplicate'
        ? { ...unmoved(delivery), outcome: 'duplicate', explanation: seenBefore }
        : { ...unmoved(delivery), outcome: 'refused', explanation: verdict.message };
    });
  });
}

function rehearsed(delivery: Delivery, stages: ReadonlyMap<string, Stage | null>, nowMs: number): RehearsedView {
  const { event } = delivery;
  if (!isDesktopEvent(event)) {
    return { ...unmoved(delivery), outcome: 'ignored', explanation: 'noted; it concerns no single desktop' };
  }
  const stage = stages.get(desktopKey(event.desktopId)) ?? null;
  if (stage === null) {
    const explanation = `no desktop ${event.desktopId} is registered`;
    return { ...unmoved(delivery), outcome: isEnding(event) ? 'ignored' : 'refused', explanation };
  }
  const { session, outcome, explanation, effects } = decide(
    stage.session,
    { type: 'broker', event },
    stage.pool,
    nowMs,
  );
  stage.session = session;
  return {
    ...unmoved(delivery),
    outcome,
    explanation,
    state: session.machine,
    graceDeadline: session.deadlineMs === null ? null : new Date(session.deadlineMs).toISOString(),
    operations: effects.flatMap(operationIn),
  };
}

function operationIn(effect: Decision['effects'][number]): RehearsedView['operations'] {
  if (effect.type === 'open_operation') return [{ kind: effect.kind, becomes: 'pending' }];
  if (effect.type === 'end_operation') return [{ kind: effect.kind, becomes: effect.status }];
  return [];
}

function unmoved({ webhookId, event }: Delivery) {
  const desktopId = isDesktopEvent(event) ? event.desktopId : null;
  return { webhookId, type: event.type, desktopId, state: null, graceDeadline: null, operations: [] };
}

async function stageOf(manager: EntityManager, desktopId: string): Promise<Stage | null> {
  const id = await registeredId(manager, desktopId);
  if (id === null) return null;
  const loaded = await readDesktop(manager, id);
  return { pool: loaded.pool, session: sessionOf(loaded) };
}
