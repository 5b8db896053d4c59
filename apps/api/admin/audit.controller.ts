import type { AuditView, Page, SessionLedger } from '@dormouse/ledger';
import { Controller, Get, Inject, Query, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Needs } from '../access';
import { tokens } from '../dependencies';
import { AuditPageBody, ProblemBody } from '../openapi';
import { AuditPageQuery } from './requests';

@ApiTags('audit')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/audit')
@UseGuards(AccessGuard)
export class AuditController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('admin', 'everything')
  @ApiOperation({ summary: 'Who changed or tried to change what, why, and what came of it; newest first' })
  @ApiResponse({ status: 200, type: AuditPageBody })
  list(@Query() query: AuditPageQuery): Promise<Page<AuditView>> {
    return this.ledger.listAudit(query);
  }
}
