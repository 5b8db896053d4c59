import { createHash } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import type { EarlierRequest, RepeatableRequest, SessionLedger } from '@dormouse/ledger';
import type { Logger } from '@dormouse/observability';
import type { JsonValue } from '@dormouse/session';
import {
  Inject,
  Injectable,
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { firstValueFrom, from, type Observable } from 'rxjs';
import { actorOf } from '../access';
import { tokens } from '../dependencies';

const keyHeader = 'idempotency-key';
const keyPattern = /^[\x21-\x7e]{1,128}$/;

/** Says in the description of the API that a POST may be repeated; that it can is the interceptor's doing. */
export const Repeatable = () =>
  applyDecorators(
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description:
        'Up to 128 printable characters of your choice. The same request with the same key is done once and answered ' +
        'alike for a day; another request with it is refused with 422. What was refused is tried again when it comes again',
    }),
  );

/**
 * Answers a POST that was done, and comes again with the same `Idempotency-Key`, as it was answered the first time. A refusal or a
 * failure is not kept: a user who was there leaves, a service that was away comes back, and that is what a caller tries again for.
 * Killed between the deed and its answer, the key is free again after a minute; every POST of ours then finds what is under way and
 * joins it.
 */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(
    @Inject(tokens.ledger) private readonly ledger: SessionLedger,
    @Inject(tokens.logger) private readonly logger: Logger,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler<JsonValue>): Observable<unknown> {
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const key = request.headers[keyHeader];
    if (request.method !== 'POST' || key === undefined) return next.handle();
    return from(this.answerOnce(request, http.getResponse<FastifyReply>(), next, key));
  }

  private async answerOnce(
    request: FastifyRequest,
    reply: FastifyReply,
    next: CallHandler<JsonValue>,
    key: string | string[],
  ): Promise<JsonValue> {
    if (typeof key !== 'string' || !keyPattern.test(key)) {
      throw new DormouseError(
        'REQUEST_INVALID',
        'Idempotency-Key must be 1 to 128 printable characters without spaces',
      );
    }
    const repeatable = { actor: actorOf(request), key, fingerprint: fingerprintOf(request) };
    const earlier = await this.ledger.beginRepeatable(repeatable);
    if (earlier !== 'none') return answerAgain(earlier, reply);
    try {
      const body = await firstValueFrom(next.handle());
      const location = reply.getHeader('location');
      await this.end(repeatable, { body, location: typeof location === 'string' ? location : null });
      return body;
    } catch (thrown) {
      await this.end(repeatable, null);
      throw thrown;
    }
  }

  /** What was done is done, whether or not its answer can be kept. */
  private async end(request: RepeatableRequest, answer: Parameters<SessionLedger['endRepeatable']>[1]): Promise<void> {
    try {
      await this.ledger.endRepeatable(request, answer);
    } catch (err) {
      this.logger.warn({ err, key: request.key }, 'an answer was not kept for its Idempotency-Key');
    }
  }
}

function answerAgain(earlier: Exclude<EarlierRequest, 'none'>, reply: FastifyReply): JsonValue {
  if (earlier === 'different') {
    throw new DormouseError('IDEMPOTENCY_KEY_REUSED', 'this Idempotency-Key came with another request; use a new one');
  }
  if (earlier === 'under way') {
    throw new DormouseError(
      'IDEMPOTENCY_KEY_IN_USE',
      'a request with this Idempotency-Key is being answered; ask again',
    );
  }
  void reply.header('idempotency-replayed', 'true');
  if (earlier.location !== null) void reply.header('location', earlier.location);
  return earlier.body;
}

function fingerprintOf({ method, url, body }: FastifyRequest): string {
  return createHash('sha256')
    .update(`${method} ${url}\n${JSON.stringify(body ?? null)}`)
    .digest('hex');
}
