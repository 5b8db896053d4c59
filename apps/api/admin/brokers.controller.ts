import type { BrokerView, RetiredBrokerView, SessionLedger } from '@dormouse/ledger';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiParam, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { BrokerListBody, ProblemBody, RetiredBrokerBody } from '../openapi';
import { BrokerNamePipe, ReasonRequest } from './requests';

@ApiTags('brokers')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/brokers')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor, IdempotencyInterceptor)
export class BrokersController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('viewer', 'nothing of a pool')
  @ApiOperation({ summary: 'Brokers that send heartbeats, and whether they are heard' })
  @ApiResponse({ status: 200, type: BrokerListBody })
  async list(): Promise<{ items: readonly BrokerView[] }> {
    return { items: await this.ledger.listBrokers() };
  }

  @Post(':source/retire')
  @HttpCode(200)
  @Needs('admin', 'everything')
  @Repeatable()
  @Changes('broker.retire')
  @ApiOperation({
    summary: 'Vouches that a broker is gone for good',
    description:
      'It is not waited for any more, and nothing that it has said of who is at a desktop counts: what is in doubt for its sake is ' +
      'certain again, and who was there by its account alone has left. Should it speak again, it is a broker as any other.',
  })
  @ApiParam({ name: 'source', description: 'Its CloudEvents `source`, percent-encoded' })
  @ApiResponse({ status: 200, type: RetiredBrokerBody })
  retire(
    @Param('source', BrokerNamePipe) source: string,
    @Body() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<RetiredBrokerView> {
    return this.ledger.retireBroker({ source, reason, actor });
  }
}
