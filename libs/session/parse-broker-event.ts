import { DormouseError } from '@dormouse/errors';
import { brokerName, desktopIdInWords, instantInWords, isDesktopId, isIdentifier, parseInstant } from '@dormouse/text';
import { brokerEventTypes, disconnectReasons, type BrokerEvent, type BrokerEventType } from './broker-events';
import type { JsonObject } from './json';

type Fields = Readonly<Record<string, unknown>>;

export interface ReadBrokerEvent {
  readonly event: BrokerEvent;
  /** What was wrong with side fields, and what they were taken for: a sentence each, for the broker and the record. */
  readonly notes: readonly string[];
}

const longestText = 256;
const longestIntervalSeconds = 3_600;

/** Types that say nothing beyond themselves: CloudEvents allows them to come without data. */
const withoutData: readonly BrokerEventType[] = ['vdc.broker.started', 'vdc.broker.heartbeat'];

/** The event alone. @throws EVENT_MALFORMED as `readBrokerEvent` does */
export function parseBrokerEvent(cloudEvent: unknown): BrokerEvent {
  return readBrokerEvent(cloudEvent).event;
}

/**
 * Reads a CloudEvents 1.0 object from a broker. Fields nobody asked for are kept in `data` and otherwise ignored.
 *
 * What says which event it is, of what, and in which order is read strictly: `id`, `source`, `type`, `desktopId`, the connections,
 * `brokerEpoch`, `sequence` and times. All else is a side field. A side field never costs the event: what is wrong with it is noted,
 * and it counts as missing. `brokerEpoch`, `sequence`, `occurredAt` and all side fields may be missing or empty.
 * @throws EVENT_MALFORMED with the field in its message and in `details.field`.
 */
export function readBrokerEvent(cloudEvent: unknown): ReadBrokerEvent {
  const envelope = object(cloudEvent, 'event');
  if (envelope.specversion !== '1.0') throw malformed('specversion', 'must be "1.0" (CloudEvents)');
  const type = eventType(envelope.type);
  const given = withoutData.includes(type) ? (envelope.data ?? {}) : envelope.data;
  const data = object(given, 'data');
  const notes: string[] = [];
  const side = <T>(name: string, isGood: (value: unknown) => value is T, shape: string): T | null => {
    const value = data[name];
    if (isMissing(value)) return null;
    if (isGood(value)) return value;
    notes.push(`data.${name} should be ${shape}; it is taken as missing`);
    return null;
  };
  const base = {
    id: text(envelope.id, 'id'),
    source: text(typeof envelope.source === 'string' ? brokerName(envelope.source) : envelope.source, 'source'),
    brokerEpoch: optional(data.brokerEpoch, 'data.brokerEpoch', text),
    occurredAt: isMissing(data.occurredAt)
      ? optional(envelope.time, 'time', instant)
      : instant(data.occurredAt, 'data.occurredAt'),
    data: data as JsonObject,
  };
  const read = (): BrokerEvent => {
    if (type === 'vdc.broker.started') return { ...base, type };
    if (type === 'vdc.broker.heartbeat') {
      const shape = `a whole number from 1 to ${longestIntervalSeconds}`;
      return { ...base, type, intervalSeconds: side('intervalSeconds', isInterval, shape) };
    }
    const ofDesktop = {
      ...base,
      desktopId: desktopId(data.desktopId, 'data.desktopId'),
      poolId: side('poolId', (id): id is string => isIdentifier(id), 'the id of a pool'),
      userRef: side('userRef', isText, textInWords),
      sequence: optional(data.sequence, 'data.sequence', sequenceNumber),
    };
    switch (type) {
      case 'vdc.session.connected':
      case 'vdc.session.reconnected':
        return { ...ofDesktop, type, connectionId: text(data.connectionId, 'data.connectionId') };
      case 'vdc.session.disconnected': {
        // A reason that is not one of ours is no mistake: brokers have more of them than we tell apart.
        const said = side('reason', isText, textInWords);
        const reason = disconnectReasons.find((known) => known === said) ?? 'unknown';
        return { ...ofDesktop, type, connectionId: text(data.connectionId, 'data.connectionId'), reason };
      }
      case 'vdc.broker.snapshot':
        return { ...ofDesktop, type, connectionIds: texts(data.connectionIds, 'data.connectionIds') };
      default:
        return { ...ofDesktop, type };
    }
  };
  return { event: read(), notes };
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

const textInWords = `a text of 1 to ${longestText} characters without control characters`;

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= longestText && !/[\p{Cc}\p{Cs}]/u.test(value);
}

function text(value: unknown, field: string): string {
  if (!isText(value)) throw malformed(field, `must be ${textInWords}`);
  return value;
}

function texts(value: unknown, field: string): readonly string[] {
  if (!Array.isArray(value)) throw malformed(field, 'must be an array of texts');
  return value.map((item, index) => text(item, `${field}[${index}]`));
}

function desktopId(value: unknown, field: string): string {
  if (!isDesktopId(value)) throw malformed(field, `is no id of a desktop: ${desktopIdInWords}`);
  return value as string;
}

function instant(value: unknown, field: string): string {
  const at = parseInstant(text(value, field));
  if (at === null) throw malformed(field, `must be ${instantInWords}`);
  return at.toISOString();
}

function sequenceNumber(value: unknown, field: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw malformed(field, 'must be a whole number from 0');
  return value as number;
}

function isInterval(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= longestIntervalSeconds;
}

/** Brokers leave a field out, or send it empty. */
function isMissing(value: unknown): value is undefined | null | '' {
  return value === undefined || value === null || value === '';
}

function optional<T>(value: unknown, field: string, read: (value: unknown, field: string) => T): T | null {
  return isMissing(value) ? null : read(value, field);
}

function malformed(field: string, what: string): DormouseError {
  return new DormouseError('EVENT_MALFORMED', `the event's ${field} ${what}`, { field });
}
