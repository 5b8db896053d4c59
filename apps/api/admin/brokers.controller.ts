import type { SessionLedger } from '@dormouse/ledger';
import { brokerList, retiredBrokerView, type BrokerView, type RetiredBrokerView } from '@dormouse/views';
import { Controller, Get, HttpCode, Inject, Param, Post, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiParam, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { Describe, ReadBody } from '../openapi';
import { BrokerNamePipe } from './id-pipes';
import { reasonRequest, type ReasonRequest } from './requests';

@ApiTags('brokers')
@ApiBearerAuth()
@Controller('/v1/brokers')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor, IdempotencyInterceptor)
export class BrokersController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('viewer', 'nothing of a pool')
  @Describe('listBrokers', 'Lists the brokers that send heartbeats, and whether they are heard', {
    answers: { 200: { description: 'Every broker', schema: brokerList } },
  })
  async list(): Promise<{ items: readonly BrokerView[] }> {
    return { items: await this.ledger.listBrokers() };
  }

  @Post(':source/retire')
  @HttpCode(200)
  @Needs('admin', 'everything')
  @Repeatable()
  @Changes('broker.retire')
  @Describe('retireBroker', 'Vouches that a broker is gone for good', {
    description:
      'Nobody waits for it any more, and nothing that it has said about who is connected counts: what is in doubt because of it is ' +
      'certain again, and who was there by its account alone has left. Should it speak again, it is a broker like any other.',
    answers: { 200: { description: 'The retired broker', schema: retiredBrokerView } },
    problems: ['BROKER_UNKNOWN'],
  })
  @ApiParam({ name: 'source', description: 'Its CloudEvents `source`, percent-encoded' })
  retire(
    @Param('source', BrokerNamePipe) source: string,
    @ReadBody(reasonRequest) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<RetiredBrokerView> {
    return this.ledger.retireBroker({ source, reason, actor });
  }
}
