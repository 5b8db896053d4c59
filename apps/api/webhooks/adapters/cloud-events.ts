import type { IncomingHttpHeaders } from 'node:http';
import { DormouseError } from '@dormouse/errors';
import { contentTypes } from '../../body-parser';
import type { BrokerAdapter } from './broker-adapter';

/** More come in several batches. */
const mostInBatch = 1_000;

/**
 * What brokers send that speak as we do, in each of the three modes of CloudEvents over HTTP: an event as the body (structured), a list
 * of events (batch), or the attributes as headers and the data as the body (binary).
 */
export const cloudEvents: BrokerAdapter = {
  name: 'cloudevents',
  toEvents: (message, _, headers = {}) => {
    if (isBatch(headers)) return batched(message);
    return isBinary(headers) ? [{ ...attributesIn(headers), data: message }] : [message];
  },
  answersEach: isBatch,
};

function isBatch(headers: IncomingHttpHeaders): boolean {
  return isOfType(headers, contentTypes.events);
}

function isBinary(headers: IncomingHttpHeaders): boolean {
  return headers['ce-specversion'] !== undefined && !isOfType(headers, contentTypes.event);
}

function isOfType({ 'content-type': given = '' }: IncomingHttpHeaders, type: string): boolean {
  return given.split(';', 1)[0]!.trim().toLowerCase() === type;
}

function batched(message: unknown): readonly unknown[] {
  if (Array.isArray(message) && message.length <= mostInBatch) return message;
  throw malformed(`a batch is an array of at most ${mostInBatch} CloudEvents`, 'event');
}

/** `ce-<name>: <value>`, what is not ASCII percent-encoded (HTTP Protocol Binding for CloudEvents 1.0, 3.1.3). */
function attributesIn(headers: IncomingHttpHeaders): Readonly<Record<string, string>> {
  const attributes: [string, string][] = [];
  for (const [header, value] of Object.entries(headers)) {
    const name = /^ce-([a-z0-9]+)$/.exec(header)?.[1];
    if (name === undefined || typeof value !== 'string') continue;
    try {
      attributes.push([name, decodeURIComponent(value)]);
    } catch {
      throw malformed(`the header ${header} is not percent-encoded UTF-8`, name);
    }
  }
  return Object.fromEntries(attributes);
}

function malformed(message: string, field: string): DormouseError {
  return new DormouseError('EVENT_MALFORMED', message, { field });
}
