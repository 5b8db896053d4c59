import { DormouseError } from '@dormouse/errors';
import { brokerEventTypes, disconnectReasons, type BrokerEvent, type BrokerEventType } from './broker-events';
import { identifierPattern } from './identifiers';
import type { JsonObject } from './json';

type Fields = Readonly<Record<string, unknown>>;

const longestText = 256;
const longestIntervalSeconds = 3_600;

/**
 * Reads a CloudEvents 1.0 object from a broker. Fields nobody asked for are kept in `data` and otherwise ignored.
 * `brokerEpoch`, `sequence`, `poolId`, `userRef` and `occurredAt` may be missing; a disconnect reason that is not
 * one of ours counts as `unknown`: the disconnect itself must not be lost over it.
 * @throws EVENT_MALFORMED with the field in its message and in `details.field`.
 */
export function parseBrokerEvent(cloudEvent: unknown): BrokerEvent {
  const envelope = object(cloudEvent, 'event');
  if (envelope.specversion !== '1.0') throw malformed('specversion', 'must be "1.0" (CloudEvents)');
  const type = eventType(envelope.type);
  const data = object(envelope.data, 'data');
  const base = {
    id: text(envelope.id, 'id'),
    source: text(envelope.source, 'source'),
    brokerEpoch: optional(data.brokerEpoch, 'data.brokerEpoch', text),
    occurredAt: optional(data.occurredAt ?? envelope.time, 'data.occurredAt', instant),
    data: data as JsonObject,
  };
  if (type === 'vdc.broker.started') return { ...base, type };
  if (type === 'vdc.broker.heartbeat') {
    return { ...base, type, intervalSeconds: optional(data.intervalSeconds, 'data.intervalSeconds', interval) };
  }
  const ofDesktop = {
    ...base,
    desktopId: identifier(data.desktopId, 'data.desktopId'),
    poolId: optional(data.poolId, 'data.poolId', identifier),
    userRef: optional(data.userRef, 'data.userRef', text),
    sequence: optional(data.sequence, 'data.sequence', sequenceNumber),
  };
  switch (type) {
    case 'vdc.session.connected':
    case 'vdc.session.reconnected':
      return { ...ofDesktop, type, connectionId: text(data.connectionId, 'data.connectionId') };
    case 'vdc.session.disconnected': {
      const given = optional(data.reason, 'data.reason', text);
      const reason = disconnectReasons.find((known) => known === given) ?? 'unknown';
      return { ...ofDesktop, type, connectionId: text(data.connectionId, 'data.connectionId'), reason };
    }
    case 'vdc.broker.snapshot':
      return { ...ofDesktop, type, connectionIds: texts(data.connectionIds, 'data.connectionIds') };
    default:
      return { ...ofDesktop, type };
  }
}

function eventType(value: unknown): BrokerEventType {
  const known = brokerEventTypes.find((type) => type === value);
  if (known === undefined) throw malformed('type', `must be one of ${brokerEventTypes.join(', ')}`);
  return known;
}

function object(value: unknown, field: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(field, 'must be an object');
  return value as Fields;
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string' || value === '' || value.length > longestText || /\p{Cc}/u.test(value)) {
    throw malformed(field, `must be a text of 1 to ${longestText} characters without control characters`);
  }
  return value;
}

function texts(value: unknown, field: string): readonly string[] {
  if (!Array.isArray(value)) throw malformed(field, 'must be an array of texts');
  return value.map((item, index) => text(item, `${field}[${index}]`));
}

function identifier(value: unknown, field: string): string {
  if (!identifierPattern.test(text(value, field))) throw malformed(field, `must match ${identifierPattern.source}`);
  return value as string;
}

function instant(value: unknown, field: string): string {
  const at = new Date(text(value, field));
  if (Number.isNaN(at.getTime())) throw malformed(field, 'must be a time like 2030-01-31T08:00:00Z');
  return at.toISOString();
}

function sequenceNumber(value: unknown, field: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw malformed(field, 'must be a whole number from 0');
  return value as number;
}

function interval(value: unknown, field: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 1 || (value as number) > longestIntervalSeconds) {
    throw malformed(field, `must be a whole number from 1 to ${longestIntervalSeconds}`);
  }
  return value as number;
}

function optional<T>(value: unknown, field: string, read: (value: unknown, field: string) => T): T | null {
  return value === undefined || value === null ? null : read(value, field);
}

function malformed(field: string, what: string): DormouseError {
  return new DormouseError('EVENT_MALFORMED', `the event's ${field} ${what}`, { field });
}
