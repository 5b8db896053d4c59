import type { DesktopView, SessionLedger } from '@dormouse/ledger';
import { Body, Controller, Delete, Inject, Param, Put, Query, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { DesktopBody, ProblemBody } from '../openapi';
import { DesktopIdPipe, HoldRequest, momentOf, ReasonRequest } from './requests';

@ApiTags('desktops')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/desktops/:id/hold')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class HoldsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Put()
  @Needs('operator', 'desktop')
  @Changes('desktop.hold')
  @ApiOperation({
    summary: 'Keeps a desktop from being put to sleep until a time',
    description: 'A save that waits is taken back, one that has begun goes on: cancel it if it is not to.',
  })
  @ApiResponse({ status: 200, type: DesktopBody })
  hold(
    @Param('id', DesktopIdPipe) id: string,
    @Body() { until, reason }: HoldRequest,
    @Actor() actor: string,
  ): Promise<DesktopView> {
    return this.ledger.holdDesktop(id, { until: momentOf(until), reason, actor });
  }

  @Delete()
  @Needs('operator', 'desktop')
  @Changes('desktop.unhold')
  @ApiOperation({ summary: 'Ends the hold: the pool’s policy decides, at once' })
  @ApiResponse({ status: 200, type: DesktopBody })
  unhold(
    @Param('id', DesktopIdPipe) id: string,
    @Query() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<DesktopView> {
    return this.ledger.holdDesktop(id, { until: null, reason, actor });
  }
}
