import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { Delivery, SessionLedger } from '@dormouse/ledger';
import { rehearsal, type RehearsedView } from '@dormouse/views';
import { parseBrokerEvent } from '@dormouse/session';
import { Controller, HttpCode, Inject, Post, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Needs } from '../access';
import { tokens } from '../dependencies';
import { Describe, ReadBody } from '../openapi';
import { rehearseRequest, type RehearseRequest } from './requests';

@ApiTags('webhooks')
@ApiBearerAuth()
@Controller('/v1/events')
@UseGuards(AccessGuard)
export class EventsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Post('rehearse')
  @Needs('operator', 'everything')
  @HttpCode(200)
  @Describe(
    'rehearseEvents',
    'Tells what events would lead to if they came now, one after the other; changes nothing',
    {
      description: 'Each under its own `id` as `webhook-id`, as `dormouse events replay` sends them.',
      answers: { 200: { description: 'What each event would do', schema: rehearsal } },
      problems: ['EVENT_MALFORMED'],
    },
  )
  async rehearse(@ReadBody(rehearseRequest) { events }: RehearseRequest): Promise<{ items: readonly RehearsedView[] }> {
    return { items: await this.ledger.rehearse(events.map(deliveryOf)) };
  }
}

function deliveryOf(cloudEvent: unknown, index: number): Delivery {
  try {
    const event = parseBrokerEvent(cloudEvent);
    return { webhookId: event.id, event };
  } catch (error) {
    if (!isDormouseError(error)) throw error;
    throw new DormouseError(error.code, `event ${index + 1}: ${error.message}`, { ...error.details, index });
  }
}
