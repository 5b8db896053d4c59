import { DormouseError } from '@dormouse/errors';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';

export const webhookPath = '/v1/webhooks';

/** A broker event is below 2 KiB, a launch spec below 20. */
const bodyLimitBytes = 256 * 1024;

/**
 * Bodies are JSON. A webhook's body stays bytes: its signature covers them, and what is not signed is not even parsed.
 */
export function useBodyParsers(app: NestFastifyApplication): void {
  for (const contentType of ['application/json', 'application/cloudevents+json']) {
    app.useBodyParser(contentType, { bodyLimit: bodyLimitBytes }, (request, body, done) => {
      if (isWebhook(request.routeOptions.url)) {
        done(null, body);
        return;
      }
      try {
        done(null, parseJson(body));
      } catch (error) {
        done(error as Error);
      }
    });
  }
}

function isWebhook(route: string | undefined): boolean {
  return route === webhookPath || route?.startsWith(`${webhookPath}/`) === true;
}

/**
 * @throws REQUEST_INVALID for what is no JSON, and for what JSON can say but Postgres cannot store (NUL, half of a
 * surrogate pair) or what changes an object's nature (`__proto__`).
 */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'), (key, value: unknown) => {
      if (key === '__proto__' || !isStorable(key))
        throw new SyntaxError(`the member name ${JSON.stringify(key)} is not allowed`);
      if (typeof value === 'string' && !isStorable(value))
        throw new SyntaxError(`${key} holds characters that cannot be stored`);
      return value;
    });
  } catch (cause) {
    throw new DormouseError('REQUEST_INVALID', `the body is not JSON: ${(cause as Error).message}`, {}, { cause });
  }
}

function isStorable(text: string): boolean {
  return !/[\0\p{Cs}]/u.test(text);
}
