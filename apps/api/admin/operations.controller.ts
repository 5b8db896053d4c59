import type { SessionLedger } from '@dormouse/ledger';
import { expectedOperationView, operationView, type ExpectedOperationView, type OperationView } from '@dormouse/views';
import { Controller, Get, HttpCode, Inject, Param, Post, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { Describe, ReadBody } from '../openapi';
import { OperationIdPipe } from './id-pipes';
import { reasonRequest, type ReasonRequest } from './requests';

@ApiTags('operations')
@ApiBearerAuth()
@Controller('/v1/operations')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor, IdempotencyInterceptor)
export class OperationsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get(':id')
  @Needs('viewer', 'operation')
  @Describe('getOperation', 'Shows how far an operation is, what to expect of it, and what came of it', {
    answers: { 200: { description: 'The operation', schema: expectedOperationView } },
    problems: ['OPERATION_UNKNOWN'],
  })
  show(@Param('id', OperationIdPipe) id: string): Promise<ExpectedOperationView> {
    return this.ledger.viewOperation(id);
  }

  @Post(':id/cancel')
  @Needs('operator', 'operation')
  @HttpCode(202)
  @Repeatable()
  @Changes('operation.cancel', ['DESKTOP_BUSY', 'USER_PRESENT', 'OPERATION_ENDED'])
  @Describe('cancelOperation', 'Cancels an operation', {
    description:
      'An operation that no worker has taken ends at once. A save under way is given up by its worker, and the desktop runs on; ' +
      'once its machine is being released it is too late. Nothing else can be cancelled once it has begun, and no boot or wake ' +
      'that a user waits for.',
    answers: { 202: { description: 'The operation, cancelled or about to be', schema: operationView } },
    problems: ['OPERATION_UNKNOWN', 'OPERATION_ENDED', 'DESKTOP_BUSY', 'USER_PRESENT'],
  })
  cancel(
    @Param('id', OperationIdPipe) id: string,
    @ReadBody(reasonRequest) { reason }: ReasonRequest,
    @Actor() requestedBy: string,
  ): Promise<OperationView> {
    return this.ledger.cancelOperation(id, { reason, requestedBy });
  }
}
