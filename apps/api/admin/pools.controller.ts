import type { SessionLedger } from '@dormouse/ledger';
import { poolView, type PoolView } from '@dormouse/views';
import { Controller, Get, Inject, Param, Put, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { Describe, ReadBody } from '../openapi';
import { IdentifierPipe } from './id-pipes';
import { putPoolRequest, type PutPoolRequest } from './requests';

@ApiTags('pools')
@ApiBearerAuth()
@Controller('/v1/pools')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class PoolsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get(':id')
  @Needs('viewer', 'pool')
  @Describe('getPool', 'Shows a pool: its policy, and the storms that still keep desktops up', {
    answers: { 200: { description: 'The pool', schema: poolView } },
    problems: ['POOL_UNKNOWN'],
  })
  show(@Param('id', IdentifierPipe) id: string): Promise<PoolView> {
    return this.ledger.viewPool(id);
  }

  @Put(':id')
  @Needs('admin', 'pool')
  @Changes('pool.put')
  @Describe('putPool', 'Makes a pool, or gives one another policy', {
    answers: { 200: { description: 'The pool', schema: poolView } },
  })
  put(
    @Param('id', IdentifierPipe) id: string,
    @ReadBody(putPoolRequest) { policy, reason }: PutPoolRequest,
    @Actor() actor: string,
  ): Promise<PoolView> {
    return this.ledger.putPool(id, policy, actor, reason);
  }
}
