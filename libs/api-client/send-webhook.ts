import { randomUUID } from 'node:crypto';
import type { BrokerEventType, JsonObject, MachineState } from '@dormouse/session';
import { Webhook } from 'standardwebhooks';
import { errorOf } from './problem';
import { isOk, reach, textOf } from './reach';

export interface WebhookMessage {
  readonly type: BrokerEventType;
  /** Who says it, a URI reference (CloudEvents `source`). */
  readonly source: string;
  readonly data: JsonObject;
  /** Default: a new one. The same id twice has no second effect. */
  readonly webhookId?: string;
  /** Default: now. */
  readonly at?: Date;
}

export interface WebhookAnswer {
  readonly accepted: true;
  readonly duplicate: boolean;
  readonly outcome: 'applied' | 'ignored' | 'stale' | 'duplicate';
  readonly desktop: { readonly id: string; readonly machineState: MachineState; readonly etaMs: number | null } | null;
}

/**
 * Sends an event as a broker does: CloudEvents 1.0 JSON, signed as in Standard Webhooks.
 * @throws the error that the api answered with, or SERVICE_UNAVAILABLE when none did.
 */
export async function sendWebhook(
  { url, secret }: { url: string; secret: string },
  { type, source, data, webhookId = `msg_${randomUUID()}`, at = new Date() }: WebhookMessage,
): Promise<WebhookAnswer> {
  const event = {
    specversion: '1.0',
    id: webhookId,
    source,
    type,
    time: at.toISOString(),
    datacontenttype: 'application/json',
    data: { occurredAt: at.toISOString(), ...data },
  };
  return sendEvent({ url, secret }, { webhookId, event, at });
}

/**
 * Sends a CloudEvent as it is, signed now.
 * @throws the error that the api answered with, or SERVICE_UNAVAILABLE when none did.
 */
export async function sendEvent(
  { url, secret }: { url: string; secret: string },
  { webhookId, event, at = new Date() }: { webhookId: string; event: JsonObject; at?: Date },
): Promise<WebhookAnswer> {
  const body = JSON.stringify(event);
  const response = await reach(`${url}/v1/webhooks`, {
    method: 'POST',
    headers: {
      'content-type': 'application/cloudevents+json',
      'webhook-id': webhookId,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(webhookId, at, body),
    },
    body,
  });
  if (!isOk(response)) throw await errorOf(response);
  return JSON.parse(await textOf(response)) as WebhookAnswer;
}
