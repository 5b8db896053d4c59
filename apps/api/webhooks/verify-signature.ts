import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Keys } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';
import { areLookAlikes, brokerName } from '@dormouse/text';

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
  const presented = signature.split(' ').flatMap((one) => (one.startsWith('v1,') ? [Buffer.from(one.slice(3))] : []));
  const signed = `${id}.${timestamp}.`;
  const secret = secrets.find((one) => {
    const expected = signatureOf(one, signed, body);
    return presented.some((given) => given.length === expected.length && timingSafeEqual(given, expected));
  });
  if (secret !== undefined) return { webhookId: id, secret };
  throw invalid(
    'no known secret gives this signature: compare WEBHOOK_SECRETS and BROKER_SECRETS with the secret of the sender',
  );
}

/**
 * A broker with secrets of its own is believed with these alone: who knows another's cannot speak for it, and not under a name that
 * could be taken for its name either.
 * @param source in its one form, as `brokerName` gives it
 * @throws SIGNATURE_INVALID
 */
export function requireSecretOf(
  source: string,
  { secret }: Verified,
  { webhookSecrets, brokerSecrets }: Pick<Keys, 'webhookSecrets' | 'brokerSecrets'>,
): void {
  const own = brokerSecrets.filter((one) => brokerName(one.source) === source).map((one) => one.secret);
  if (own.length > 0 ? own.includes(secret) : webhookSecrets.includes(secret) && !isTakenFor(source, brokerSecrets)) {
    return;
  }
  throw invalid(
    `the webhook is not signed with a secret of ${source}: compare BROKER_SECRETS with the secret of the sender`,
  );
}

function isTakenFor(source: string, brokerSecrets: Keys['brokerSecrets']): boolean {
  return brokerSecrets.some((one) => areLookAlikes(one.source, source));
}

/** In base64, as it is sent. The library of the specification would compute it in JavaScript, at ten times the cost. */
function signatureOf(secret: string, signed: string, body: Buffer): Buffer {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return Buffer.from(createHmac('sha256', key).update(signed).update(body).digest('base64'));
}

function header(headers: SignedDelivery['headers'], name: string): string {
  const value = headers[name];
  if (typeof value !== 'string' || value === '') throw invalid(`the header ${name} is missing`);
  return value;
}

function invalid(message: string): DormouseError {
  return new DormouseError('SIGNATURE_INVALID', message);
}
