import type { Logger } from '@dormouse/observability';
import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { requestIdHeader } from '../request-id';
import { asDormouseError, problemContentType, toProblem } from './problem';

/** Every error leaves as application/problem+json. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    this.answer(thrown, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }

  answer(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const error = asDormouseError(thrown);
    const facts = { requestId: request.id, method: request.method, path: pathOf(request), err: error.cause ?? error };
    if (error.status >= 500) this.logger.error(facts, 'a request failed');
    if (error.code === 'UNAUTHENTICATED') void reply.header('www-authenticate', 'Bearer');
    if (error.code === 'RATE_LIMITED') void reply.header('retry-after', String(error.details['retryAfterS']));
    void reply
      .status(error.status)
      .header('content-type', problemContentType)
      .header(requestIdHeader, request.id)
      .send(JSON.stringify(toProblem(error, { path: pathOf(request), id: request.id })));
  }
}

/** Without the query: it may hold what should not be repeated. */
function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0]!;
}
