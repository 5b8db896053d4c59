import type { DesktopEvent } from './broker-events';
import { nobody, observe, type Presence } from './presence';

/** What every event of a test may say besides. Times are epoch ms. */
export interface Said {
  readonly source?: string;
  readonly epoch?: string | null;
  readonly sequence?: number | null;
  readonly at?: number | null;
}

export const saidAtMs = 1_000_000;

/** An event of the source `s`; without number and time unless `said` has them. A number without an epoch is one of `e1`. */
export function eventOf(type: string, said: Said = {}, fields: object = {}): DesktopEvent {
  const { source = 's', sequence = null, at = null, epoch = sequence === null ? null : 'e1' } = said;
  const occurredAt = at === null ? null : new Date(at).toISOString();
  const base = { id: 'x', data: {}, desktopId: 'd', poolId: null, userRef: null };
  return { ...base, type: `vdc.${type}`, source, sequence, brokerEpoch: epoch, occurredAt, ...fields } as DesktopEvent;
}

export const connected = (connectionId: string, said?: Said) => eventOf('session.connected', said, { connectionId });
export const reconnected = (connectionId: string, said?: Said) =>
  eventOf('session.reconnected', said, { connectionId });
export const disconnected = (connectionId: string, said?: Said, reason = 'user') =>
  eventOf('session.disconnected', said, { connectionId, reason });
export const snapshot = (connectionIds: readonly string[], said?: Said) =>
  eventOf('broker.snapshot', said, { connectionIds });
export const announced = (said?: Said) => eventOf('session.connect_requested', said);

/** Presence after these, told while the machine is there. */
export function after(...events: readonly DesktopEvent[]): Presence {
  return next(nobody, ...events);
}

export function next(presence: Presence, ...events: readonly DesktopEvent[]): Presence {
  const moment = { nowMs: saidAtMs, hasMachine: true };
  return events.reduce((known, event) => observe(known, event, moment) ?? known, presence);
}

export function isStale(presence: Presence, event: DesktopEvent, hasMachine = true): boolean {
  return observe(presence, event, { nowMs: saidAtMs, hasMachine }) === null;
}
