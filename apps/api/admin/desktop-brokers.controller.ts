import type { SessionLedger } from '@dormouse/ledger';
import { desktopView, type DesktopView } from '@dormouse/views';
import { Controller, Inject, Param, Put, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { Describe, ReadBody } from '../openapi';
import { DesktopIdPipe } from './id-pipes';
import { brokerRequest, type BrokerRequest } from './requests';

@ApiTags('desktops')
@ApiBearerAuth()
@Controller('/v1/desktops/:id/broker')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class DesktopBrokersController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Put()
  @Needs('operator', 'desktop')
  @Changes('desktop.broker')
  @Describe('setBrokerOfDesktop', 'Says which broker a desktop belongs to', {
    description:
      'From now on only that broker may speak of it, unless `brokers` of its pool says otherwise. What another one has said about who is ' +
      'connected stays: that one may still end it, by `vdc.session.disconnected` or `vdc.broker.snapshot`.',
    answers: { 200: { description: 'The desktop', schema: desktopView } },
    problems: ['DESKTOP_UNKNOWN'],
  })
  name(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(brokerRequest) { source, reason }: BrokerRequest,
    @Actor() actor: string,
  ): Promise<DesktopView> {
    return this.ledger.nameBroker(id, { source, reason, actor });
  }
}
