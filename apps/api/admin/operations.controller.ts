import type { ExpectedOperationView, OperationView, SessionLedger } from '@dormouse/ledger';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { ExpectedOperationBody, OperationBody, ProblemBody } from '../openapi';
import { OperationIdPipe, ReasonRequest } from './requests';

@ApiTags('operations')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/operations')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor, IdempotencyInterceptor)
export class OperationsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get(':id')
  @Needs('viewer', 'operation')
  @ApiOperation({ summary: 'How far it is, what is to be expected of it, and what came of it' })
  @ApiResponse({ status: 200, type: ExpectedOperationBody })
  show(@Param('id', OperationIdPipe) id: string): Promise<ExpectedOperationView> {
    return this.ledger.viewOperation(id);
  }

  @Post(':id/cancel')
  @Needs('operator', 'operation')
  @HttpCode(202)
  @Repeatable()
  @Changes('operation.cancel', ['DESKTOP_BUSY', 'USER_PRESENT', 'OPERATION_ENDED'])
  @ApiOperation({
    summary: 'Calls an operation off',
    description:
      'One that no worker has taken ends at once. A save under way is given up by its worker, and the desktop runs on; when ' +
      'its machine is being let go it is too late. Nothing else can be called off once it has begun, and no boot or wake ' +
      'that a user waits for.',
  })
  @ApiResponse({ status: 202, type: OperationBody })
  cancel(
    @Param('id', OperationIdPipe) id: string,
    @Body() { reason }: ReasonRequest,
    @Actor() requestedBy: string,
  ): Promise<OperationView> {
    return this.ledger.cancelOperation(id, { reason, requestedBy });
  }
}
