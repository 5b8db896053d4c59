import { isDormouseError, type DormouseError, type ErrorCode } from '@dormouse/errors';
import type { SessionLedger } from '@dormouse/ledger';
import type { Logger } from '@dormouse/observability';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { tokens } from '../dependencies';
import { actorOf } from './actor';
import { RateGate } from './rate-gate';

const longestText = 256;

/** What one is told who is not who he says to be. */
const strange: readonly ErrorCode[] = ['UNAUTHENTICATED', 'SIGNATURE_INVALID', 'SIGNATURE_STALE'];

/**
 * The audit line of a request that was refused; the one of an accepted change is written by the ledger, in the same
 * transaction as the change. Without its line a refusal is still a refusal: a failing database must not turn a 401 into
 * a 500. A flood of refused requests is no flood of lines: what is one too many is counted and not written.
 */
@Injectable()
export class RefusalLog {
  constructor(
    @Inject(tokens.ledger) private readonly ledger: SessionLedger,
    @Inject(tokens.logger) private readonly logger: Logger,
    @Inject(RateGate) private readonly gate: RateGate,
  ) {}

  /** @returns what to answer with: the error, or that there were too many of them */
  async record(request: FastifyRequest, action: string, error: DormouseError): Promise<DormouseError> {
    const answer = strange.includes(error.code) ? await this.orTooMany(request, error) : error;
    if (answer.code !== 'RATE_LIMITED') await this.write(request, action, answer);
    return answer;
  }

  private async orTooMany(request: FastifyRequest, error: DormouseError): Promise<DormouseError> {
    try {
      await this.gate.pass('stranger', request.ip);
      return error;
    } catch (tooMany) {
      if (isDormouseError(tooMany)) return tooMany;
      throw tooMany;
    }
  }

  private async write(request: FastifyRequest, action: string, error: DormouseError): Promise<void> {
    const { target, reason } = subjectOf(request);
    try {
      await this.ledger.recordAudit({
        actor: actorOf(request),
        action,
        target,
        ...(reason === undefined ? {} : { reason }),
        outcome: error.code,
        details: { requestId: request.id, address: request.ip, ...webhookIdOf(request) },
      });
    } catch (err) {
      this.logger.error({ err, requestId: request.id, action, target }, 'the audit line of a refusal was not written');
    }
  }
}

function webhookIdOf({ headers }: FastifyRequest): { webhookId?: string } {
  const id = headers['webhook-id'];
  return typeof id === 'string' ? { webhookId: harmless(id) } : {};
}

/** What the caller wrote goes in shortened and without control characters: nothing of it has been checked yet. */
function subjectOf(request: FastifyRequest): { target: string; reason?: string } {
  const { id } = (request.params ?? {}) as { id?: unknown };
  const { reason } = (request.body ?? {}) as { reason?: unknown };
  return {
    target: harmless(typeof id === 'string' ? id : request.url.split('?', 1)[0]!),
    ...(typeof reason === 'string' ? { reason: harmless(reason) } : {}),
  };
}

function harmless(text: string): string {
  return text.slice(0, longestText).replace(/[\p{Cc}\p{Cs}]/gu, ' ');
}
