import { DormouseError, type ErrorCode } from '@dormouse/errors';
import { webhookAnswer, type Acknowledgement, type BatchAcknowledgement } from '@dormouse/views';
import { Controller, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { RefusalLog, setActor } from '../access';
import { webhookPath } from '../body-parser';
import { Describe, webhookSignature } from '../openapi';
import { asDormouseError } from '../problems';
import { brokerAdapters, cloudEvents, type BrokerAdapter } from './adapters';
import { ReceiveWebhook } from './receive-webhook.usecase';

const webhookProblems: readonly ErrorCode[] = [
  'EVENT_MALFORMED',
  'SIGNATURE_INVALID',
  'SIGNATURE_STALE',
  'BROKER_NOT_ALLOWED',
  'DESKTOP_UNKNOWN',
  'WEBHOOK_ID_REUSED',
  'EVENT_ID_REUSED',
  'RATE_LIMITED',
  'SERVICE_UNAVAILABLE',
];

@ApiTags('webhooks')
@ApiSecurity(webhookSignature)
@Controller(webhookPath)
export class WebhooksController {
  constructor(
    @Inject(ReceiveWebhook) private readonly receiveWebhook: ReceiveWebhook,
    @Inject(RefusalLog) private readonly refusals: RefusalLog,
  ) {}

  @Post()
  @HttpCode(202)
  @Describe('receiveWebhook', 'Takes an event of a broker: CloudEvents 1.0 JSON, signed as in Standard Webhooks', {
    description:
      'In structured, binary or batch mode. A batch is checked as a whole before anything is stored; then each event of it is ' +
      'accepted or refused by itself, and the answer has `accepted`, whether all were, and an item for each in `items`.',
    answers: { 202: { description: 'Stored; what follows from it happens after', schema: webhookAnswer } },
    problems: webhookProblems,
  })
  @ApiHeader({
    name: 'webhook-id',
    required: true,
    description: 'The same id of the same source twice has no second effect; with another content it is refused',
  })
  @ApiHeader({
    name: 'webhook-timestamp',
    required: true,
    description: 'Seconds since 1970, at most 5 minutes from now',
  })
  @ApiBody({ schema: { type: 'object', description: 'A CloudEvents 1.0 event' } })
  receive(@Req() request: FastifyRequest): Promise<Acknowledgement | BatchAcknowledgement> {
    return this.receiveIn(cloudEvents, request);
  }

  @Post(':shape')
  @HttpCode(202)
  @Describe('receiveShapedWebhook', 'Takes an event of a broker in a shape of its own, signed in the same way', {
    description: `The shapes are ${brokerAdapters.map(({ name }) => name).join(', ')}.`,
    answers: { 202: { description: 'Stored; what follows from it happens after', schema: webhookAnswer } },
    problems: [...webhookProblems, 'ROUTE_UNKNOWN'],
  })
  @ApiBody({ schema: { type: 'object', description: 'What the broker has to say' } })
  receiveShaped(
    @Param('shape') shape: string,
    @Req() request: FastifyRequest,
  ): Promise<Acknowledgement | BatchAcknowledgement> {
    return this.receiveIn(
      brokerAdapters.find(({ name }) => name === shape),
      request,
    );
  }

  /** Writes the audit line of a refusal itself: an interceptor, and the observables around it, cost as much as deciding. */
  private async receiveIn(
    adapter: BrokerAdapter | undefined,
    request: FastifyRequest,
  ): Promise<Acknowledgement | BatchAcknowledgement> {
    try {
      if (adapter === undefined) throw shapeUnknown();
      // Without a body Fastify runs no parser: what was signed is then nothing.
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      return await this.receiveWebhook.execute({ headers: request.headers, body }, adapter, (source) => {
        setActor(request, source);
      });
    } catch (error) {
      throw await this.refusals.record(request, 'webhook', asDormouseError(error));
    }
  }
}

function shapeUnknown(): DormouseError {
  const known = brokerAdapters.map(({ name }) => name).join(', ');
  return new DormouseError('ROUTE_UNKNOWN', `webhooks are not read in this shape; there are ${known}`);
}
