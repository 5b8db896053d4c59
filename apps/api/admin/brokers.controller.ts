import type { BrokerView, SessionLedger } from '@dormouse/ledger';
import { Controller, Get, Inject, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Needs } from '../access';
import { tokens } from '../dependencies';
import { BrokerListBody, ProblemBody } from '../openapi';

@ApiTags('brokers')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/brokers')
@UseGuards(AccessGuard)
export class BrokersController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('viewer', 'nothing of a pool')
  @ApiOperation({ summary: 'Brokers that send heartbeats, and whether they are heard' })
  @ApiResponse({ status: 200, type: BrokerListBody })
  async list(): Promise<{ items: readonly BrokerView[] }> {
    return { items: await this.ledger.listBrokers() };
  }
}
