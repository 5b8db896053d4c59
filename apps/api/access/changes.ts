import type { ErrorCode } from '@dormouse/errors';
import {
  Inject,
  Injectable,
  SetMetadata,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { catchError, from, mergeMap, throwError, type Observable } from 'rxjs';
import { asDormouseError } from '../problems';
import { RefusalLog } from './refusal-log';

const changeKey = 'dormouse:change';

interface Change {
  readonly action: string;
  readonly recordedByLedger: readonly ErrorCode[];
}

/**
 * Marks a route that changes something, with the action's name in the audit log. `recordedByLedger` are the refusals
 * that the ledger itself writes down, with the decision.
 */
export const Changes = (action: string, recordedByLedger: readonly ErrorCode[] = []) =>
  SetMetadata(changeKey, { action, recordedByLedger } satisfies Change);

/** The action of a route that changes something, as the audit log has it. */
export function changeOf(
  reflector: Reflector,
  handler: ReturnType<ExecutionContext['getHandler']>,
): string | undefined {
  return reflector.get<Change | undefined>(changeKey, handler)?.action;
}

/** Writes the audit line of a change that was refused, whatever refused it: a validation, the state, the database. */
@Injectable()
export class ChangeInterceptor implements NestInterceptor {
  constructor(
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(RefusalLog) private readonly refusals: RefusalLog,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const change = this.reflector.get<Change | undefined>(changeKey, context.getHandler());
    if (change === undefined) return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    return next.handle().pipe(
      catchError((thrown: unknown) => {
        const error = asDormouseError(thrown);
        if (change.recordedByLedger.includes(error.code)) return throwError(() => error);
        return from(this.refusals.record(request, change.action, error)).pipe(
          mergeMap((answer) => throwError(() => answer)),
        );
      }),
    );
  }
}
