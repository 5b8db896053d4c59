import { DormouseError } from '@dormouse/errors';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';

/** As in the Standard Webhooks specification: what is older may be a replay. */
const toleranceMs = 5 * 60 * 1000;

const longestIdCharacters = 128;

export interface SignedDelivery {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/**
 * Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, with any of the secrets while one is being replaced.
 * Answers the `webhook-id`.
 * @throws SIGNATURE_INVALID, SIGNATURE_STALE.
 */
export function verifySignature({ headers, body }: SignedDelivery, secrets: readonly string[], nowMs: number): string {
  const id = header(headers, 'webhook-id');
  const timestamp = header(headers, 'webhook-timestamp');
  const signature = header(headers, 'webhook-signature');
  if (!/^[\x21-\x7e]+$/.test(id) || id.length > longestIdCharacters) {
    throw invalid(`webhook-id must be 1 to ${longestIdCharacters} printable characters`);
  }
  if (!/^\d{1,12}$/.test(timestamp)) throw invalid('webhook-timestamp must be whole seconds since 1970');
  if (Math.abs(nowMs - Number(timestamp) * 1000) > toleranceMs) {
    throw new DormouseError(
      'SIGNATURE_STALE',
      'webhook-timestamp is more than 5 minutes from now: compare the clocks, and sign again when sending again',
      { timestamp, now: String(Math.floor(nowMs / 1000)) },
    );
  }
  const presented = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
  if (!secrets.some((secret) => matches(secret, body, presented))) {
    throw invalid('no known secret gives this signature: compare WEBHOOK_SECRETS with the secret of the sender');
  }
  return id;
}

function matches(secret: string, body: Buffer, headers: Record<string, string>): boolean {
  try {
    new Webhook(secret).verify(body, headers, { jsonParse: false });
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false; // the answer, not a failure
    throw error;
  }
}

function header(headers: SignedDelivery['headers'], name: string): string {
  const value = headers[name];
  if (typeof value !== 'string' || value === '') throw invalid(`the header ${name} is missing`);
  return value;
}

function invalid(message: string): DormouseError {
  return new DormouseError('SIGNATURE_INVALID', message);
}
