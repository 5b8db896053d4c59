import type { JsonObject } from './json';

/** The webhook types a connection broker sends. */
export const brokerEventTypes = [
  'vdc.session.connect_requested',
  'vdc.session.connected',
  'vdc.session.reconnected',
  'vdc.session.disconnected',
  'vdc.session.logged_on',
  'vdc.session.logged_off',
  'vdc.session.idle',
  'vdc.session.active',
  'vdc.desktop.assigned',
  'vdc.desktop.unassigned',
  'vdc.desktop.deleted',
  'vdc.broker.started',
  'vdc.broker.heartbeat',
  'vdc.broker.snapshot',
] as const;

export type BrokerEventType = (typeof brokerEventTypes)[number];

export const disconnectReasons = [
  'user',
  'idle',
  'network',
  'replaced',
  'admin',
  'broker_restart',
  'agent_lost',
  'unknown',
] as const;

export type DisconnectReason = (typeof disconnectReasons)[number];

interface EventBase {
  /** The CloudEvents `id` and `source`. */
  readonly id: string;
  readonly source: string;
  /** Names one life of the broker: its sequences start anew with each. Null when the broker has no such thing. */
  readonly brokerEpoch: string | null;
  readonly occurredAt: string | null;
  /** The event's data as it came, for the record. */
  readonly data: JsonObject;
}

interface DesktopEventBase extends EventBase {
  readonly desktopId: string;
  readonly poolId: string | null;
  readonly userRef: string | null;
  /** Counts the events of one desktop within one broker epoch, without holes. Null: taken in order of arrival. */
  readonly sequence: number | null;
}

export interface ConnectionOpened extends DesktopEventBase {
  readonly type: 'vdc.session.connected' | 'vdc.session.reconnected';
  readonly connectionId: string;
}

export interface ConnectionClosed extends DesktopEventBase {
  readonly type: 'vdc.session.disconnected';
  readonly connectionId: string;
  readonly reason: DisconnectReason;
}

/** All connections of one desktop as the broker sees them right after `sequence`. */
export interface PresenceSnapshot extends DesktopEventBase {
  readonly type: 'vdc.broker.snapshot';
  readonly connectionIds: readonly string[];
}

/** Says something of a desktop, nothing of its connections; `connect_requested` announces one to come. */
export interface DesktopNotice extends DesktopEventBase {
  readonly type:
    | 'vdc.session.connect_requested'
    | 'vdc.session.logged_on'
    | 'vdc.session.logged_off'
    | 'vdc.session.idle'
    | 'vdc.session.active'
    | 'vdc.desktop.assigned'
    | 'vdc.desktop.unassigned'
    | 'vdc.desktop.deleted';
}

/** Says something of the broker itself: it belongs to no desktop. */
export type BrokerNotice = BrokerStarted | BrokerHeartbeat;

export interface BrokerStarted extends EventBase {
  readonly type: 'vdc.broker.started';
}

export interface BrokerHeartbeat extends EventBase {
  readonly type: 'vdc.broker.heartbeat';
  /** How soon the next one comes; null when the broker does not say. */
  readonly intervalSeconds: number | null;
}

export type DesktopEvent = ConnectionOpened | ConnectionClosed | PresenceSnapshot | DesktopNotice;
export type BrokerEvent = DesktopEvent | BrokerNotice;

export function isDesktopEvent(event: BrokerEvent): event is DesktopEvent {
  return 'desktopId' in event;
}

const endings: readonly BrokerEventType[] = [
  'vdc.session.disconnected',
  'vdc.session.logged_off',
  'vdc.desktop.unassigned',
  'vdc.desktop.deleted',
];

/** The `source` of events that somebody sends by hand, to try things out: no desktop becomes theirs. */
export const byHand = 'dormouse-cli';

/** It says that something is over. Of a desktop that is not there that is so already: nobody has to be told of a mistake. */
export function isEnding({ type }: DesktopEvent): boolean {
  return endings.includes(type);
}
