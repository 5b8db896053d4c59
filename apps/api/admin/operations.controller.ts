import type { OperationView, SessionLedger } from '@dormouse/ledger';
import { Controller, Get, Inject, Param, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Needs } from '../access';
import { tokens } from '../dependencies';
import { OperationBody, ProblemBody } from '../openapi';
import { OperationIdPipe } from './requests';

@ApiTags('operations')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/operations')
@UseGuards(AccessGuard)
export class OperationsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get(':id')
  @Needs('viewer', 'operation')
  @ApiResponse({ status: 200, type: OperationBody })
  show(@Param('id', OperationIdPipe) id: string): Promise<OperationView> {
    return this.ledger.viewOperation(id);
  }
}
