import type { DesktopView, SessionLedger } from '@dormouse/ledger';
import { Body, Controller, Inject, Param, Put, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { DesktopBody, ProblemBody } from '../openapi';
import { BrokerRequest, DesktopIdPipe } from './requests';

@ApiTags('desktops')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/desktops/:id/broker')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class DesktopBrokersController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Put()
  @Needs('operator', 'desktop')
  @Changes('desktop.broker')
  @ApiOperation({
    summary: 'Says which broker a desktop belongs to',
    description:
      'From now on only that one may speak of it, unless `brokers` of its pool says otherwise. What another has said of who is there ' +
      'stays: it may still end it, by `vdc.session.disconnected` or `vdc.broker.snapshot`.',
  })
  @ApiResponse({ status: 200, type: DesktopBody })
  name(
    @Param('id', DesktopIdPipe) id: string,
    @Body() { source, reason }: BrokerRequest,
    @Actor() actor: string,
  ): Promise<DesktopView> {
    return this.ledger.nameBroker(id, { source, reason, actor });
  }
}
