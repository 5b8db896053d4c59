import type { PoolView, SessionLedger } from '@dormouse/ledger';
import { Body, Controller, Get, Inject, Param, Put, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { PoolBody, ProblemBody } from '../openapi';
import { IdentifierPipe, PutPoolRequest } from './requests';

@ApiTags('pools')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/pools')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class PoolsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get(':id')
  @Needs('viewer', 'pool')
  @ApiResponse({ status: 200, type: PoolBody })
  show(@Param('id', IdentifierPipe) id: string): Promise<PoolView> {
    return this.ledger.viewPool(id);
  }

  @Put(':id')
  @Needs('admin', 'pool')
  @Changes('pool.put')
  @ApiResponse({ status: 200, type: PoolBody })
  put(
    @Param('id', IdentifierPipe) id: string,
    @Body() { policy, reason }: PutPoolRequest,
    @Actor() actor: string,
  ): Promise<PoolView> {
    return this.ledger.putPool(id, policy, actor, reason);
  }
}
