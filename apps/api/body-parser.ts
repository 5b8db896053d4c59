import { DormouseError } from '@dormouse/errors';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';

export const webhookPath = '/v1/webhooks';

/** A broker event is below 2 KiB, a launch spec below 20. */
const bodyLimitBytes = 256 * 1024;

/** Deeper than any policy or launch spec, and less than what a stack bears, ours or Postgres's. */
const deepest = 64;

/** What bodies may be: an API's JSON, and one or several CloudEvents. */
export const contentTypes = {
  json: 'application/json',
  event: 'application/cloudevents+json',
  events: 'application/cloudevents-batch+json',
} as const;

/**
 * Bodies stay bytes here. What comes without a good key or signature, or too often, is not parsed: the guard of the admin API and
 * the webhooks do that, once they know who sends it.
 */
export function useBodyParsers(app: NestFastifyApplication): void {
  const server = app.getHttpAdapter().getInstance();
  server.removeAllContentTypeParsers();
  const options = { parseAs: 'buffer', bodyLimit: bodyLimitBytes } as const;
  server.addContentTypeParser(Object.values(contentTypes), options, (request, body, done) => {
    const reason = whyUnreadable(request.headers);
    if (reason === null) done(null, body);
    else done(new DormouseError('MEDIA_TYPE_UNSUPPORTED', reason));
  });
}

function whyUnreadable(headers: Readonly<Record<string, unknown>>): string | null {
  const encoding = headers['content-encoding'];
  if (typeof encoding === 'string' && !/^(identity)?$/i.test(encoding.trim())) {
    return `the body is encoded as ${encoding.slice(0, 50)}; send it as it is, without a content-encoding`;
  }
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(String(headers['content-type']))?.[1];
  if (charset !== undefined && !/^(utf-?8|us-ascii)$/i.test(charset)) {
    return `the body is in ${charset.slice(0, 50)}; JSON is UTF-8`;
  }
  return null;
}

/** The body of a request, or undefined when it has none. @throws REQUEST_INVALID as `parseJson` does */
export function parseBody(body: unknown): unknown {
  if (!Buffer.isBuffer(body)) return body;
  return body.length === 0 ? undefined : parseJson(body);
}

/**
 * A byte order mark at the beginning is passed over.
 * @throws REQUEST_INVALID for what is no JSON, and for what JSON can say but Postgres cannot store (NUL, half of a
 * surrogate pair), what changes an object's nature (`__proto__`), and what is nested too deep.
 */
export function parseJson(bytes: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8').replace(/^\uFEFF/, ''));
    assertHarmless(value, 0);
    return value;
  } catch (cause) {
    throw new DormouseError('REQUEST_INVALID', `the body is not JSON: ${(cause as Error).message}`, {}, { cause });
  }
}

function assertHarmless(value: unknown, depth: number): void {
  if (typeof value === 'string' && !isStorable(value)) throw new SyntaxError('a text holds NUL or half of a character');
  if (typeof value !== 'object' || value === null) return;
  if (depth === deepest) throw new SyntaxError(`it is nested deeper than ${deepest} levels`);
  if (Array.isArray(value)) {
    for (const item of value) assertHarmless(item, depth + 1);
    return;
  }
  for (const [name, item] of Object.entries(value)) {
    if (name === '__proto__' || !isStorable(name)) {
      throw new SyntaxError(`the member name ${JSON.stringify(name)} is not allowed`);
    }
    assertHarmless(item, depth + 1);
  }
}

function isStorable(text: string): boolean {
  return !/[\0\p{Cs}]/u.test(text);
}
