import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { Delivery, RehearsedView, SessionLedger } from '@dormouse/ledger';
import { parseBrokerEvent } from '@dormouse/session';
import { Body, Controller, HttpCode, Inject, Post, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Needs } from '../access';
import { tokens } from '../dependencies';
import { ProblemBody, RehearsalBody } from '../openapi';
import { RehearseRequest } from './requests';

@ApiTags('webhooks')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/events')
@UseGuards(AccessGuard)
export class EventsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Post('rehearse')
  @Needs('operator', 'everything')
  @HttpCode(200)
  @ApiOperation({
    summary: 'What events would lead to if they came now, one after the other; nothing is changed',
    description: 'Each under its own `id` as `webhook-id`, as `dormouse events replay` sends them.',
  })
  @ApiResponse({ status: 200, type: RehearsalBody })
  async rehearse(@Body() { events }: RehearseRequest): Promise<{ items: readonly RehearsedView[] }> {
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
