import { byHand, isEnding, type DesktopEvent } from './broker-events';
import { openOf } from './connections';
import { usualBrokers, type BrokersPolicy } from './pool-policy';
import { partOf } from './presence';
import type { Session } from './session';
import { isInDoubt } from './source-presence';

/** Whether a desktop that belongs to no broker belongs to the sender from now on. */
export function claims(event: DesktopEvent, brokers: BrokersPolicy = usualBrokers): boolean {
  if (event.source === byHand || isEnding(event)) return false;
  if (brokers !== 'first') return event.type === 'vdc.desktop.assigned';
  return event.type !== 'vdc.broker.snapshot' || event.connectionIds.length > 0;
}

/** Whether a broker may say this of the desktop. One that was allowed to before may still end, or correct, what it has begun. */
export function mayMove(
  { broker, presence }: Session,
  event: DesktopEvent,
  brokers: BrokersPolicy = usualBrokers,
): boolean {
  const { source, type } = event;
  if (brokers === 'any') return true;
  if (Array.isArray(brokers) ? brokers.includes(source) : broker === null || broker === source) return true;
  const part = partOf(presence, source);
  const isOpen = part !== null && (isInDoubt(part) || openOf(part.connections).length > 0);
  return isOpen && (type === 'vdc.session.disconnected' || type === 'vdc.broker.snapshot');
}
