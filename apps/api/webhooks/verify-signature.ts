import type { Keys } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';

/** As in the Standard Webhooks specification: what is older may be a replay. */
const toleranceMs = 5 * 60 * 1000;

const longestIdCharacters = 128;

/** What a good signature tells. */
export interface Verified {
  readonly webhookId: string;
  /** The secret that it was signed with: whose it is says who may have sent it. */
  readonly secret: string;
}

export interface SignedDelivery {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/**
 * Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, with any of the secrets while one is being replaced.
 * @throws SIGNATURE_INVALID, SIGNATURE_STALE.
 */
export function verifySignature(
  { headers, body }: SignedDelivery,
  secrets: readonly string[],
  nowMs: number,
): Verified {
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
  const secret = secrets.find((one) => matches(one, body, presented));
  if (secret !== undefined) return { webhookId: id, secret };
  throw invalid(
    'no known secret gives this signature: compare WEBHOOK_SECRETS and BROKER_SECRETS with the secret of the sender',
  );
}

/**
 * A broker with secrets of its own is believed with these alone: who knows another's cannot speak for it.
 * @throws SIGNATURE_INVALID
 */
export function requireSecretOf(
  source: string,
  { secret }: Verified,
  { webhookSecrets, brokerSecrets }: Pick<Keys, 'webhookSecrets' | 'brokerSecrets'>,
): void {
  const own = brokerSecrets.filter((one) => one.source === source).map((one) => one.secret);
  if ((own.length > 0 ? own : webhookSecrets).includes(secret)) return;
  throw invalid(
    `the webhook is not signed with a secret of ${source}: compare BROKER_SECRETS with the secret of the sender`,
  );
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
