import type { SessionLedger } from '@dormouse/ledger';
import { desktopView, type DesktopView } from '@dormouse/views';
import { Controller, Delete, Inject, Param, Put, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { Describe, ReadBody, ReadQuery } from '../openapi';
import { DesktopIdPipe } from './id-pipes';
import { holdRequest, reasonQuery, type HoldRequest, type ReasonRequest } from './requests';

@ApiTags('desktops')
@ApiBearerAuth()
@Controller('/v1/desktops/:id/hold')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class HoldsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Put()
  @Needs('operator', 'desktop')
  @Changes('desktop.hold')
  @Describe('holdDesktop', 'Keeps a desktop from being put to sleep until a time', {
    description: 'A save that waits is cancelled. A save that has begun goes on: cancel it if it should not.',
    answers: { 200: { description: 'The held desktop', schema: desktopView } },
    problems: ['DESKTOP_UNKNOWN'],
  })
  hold(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(holdRequest) { until, reason }: HoldRequest,
    @Actor() actor: string,
  ): Promise<DesktopView> {
    return this.ledger.holdDesktop(id, { until, reason, actor });
  }

  @Delete()
  @Needs('operator', 'desktop')
  @Changes('desktop.unhold')
  @Describe('unholdDesktop', 'Ends the hold: the pool’s policy decides at once', {
    answers: { 200: { description: 'The desktop', schema: desktopView } },
    problems: ['DESKTOP_UNKNOWN'],
  })
  unhold(
    @Param('id', DesktopIdPipe) id: string,
    @ReadQuery(reasonQuery) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<DesktopView> {
    return this.ledger.holdDesktop(id, { until: null, reason, actor });
  }
}
