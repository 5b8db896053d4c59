import type { PoolView, SessionLedger } from '@dormouse/ledger';
import { Body, Controller, Get, Inject, Param, Put, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiResponse, ApiTags } from '@nestjs/swagger';
import { Actor, AdminKeyGuard, ChangeInterceptor, Changes } from '../access';
import { tokens } from '../dependencies';
import { PoolBody, ProblemBody } from '../openapi';
import { IdentifierPipe, PutPoolRequest } from './requests';

@ApiTags('pools')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/pools')
@UseGuards(AdminKeyGuard)
@UseInterceptors(ChangeInterceptor)
export class PoolsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get(':id')
  @ApiResponse({ status: 200, type: PoolBody })
  show(@Param('id', IdentifierPipe) id: string): Promise<PoolView> {
    return this.ledger.viewPool(id);
  }

  @Put(':id')
  @Changes('pool.put')
  @ApiResponse({ status: 200, type: PoolBody })
  put(
    @Param('id', IdentifierPipe) id: string,
    @Body() { policy }: PutPoolRequest,
    @Actor() actor: string,
  ): Promise<PoolView> {
    return this.ledger.putPool(id, policy, actor);
  }
}
