import type { HostView, SessionLedger } from '@dormouse/ledger';
import { Controller, Get, Inject, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Needs } from '../access';
import { tokens } from '../dependencies';
import { HostListBody, ProblemBody } from '../openapi';

@ApiTags('hosts')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/hosts')
@UseGuards(AccessGuard)
export class HostsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('viewer', 'nothing of a pool')
  @ApiResponse({ status: 200, type: HostListBody })
  async list(): Promise<{ items: readonly HostView[] }> {
    return { items: await this.ledger.listHosts() };
  }
}
