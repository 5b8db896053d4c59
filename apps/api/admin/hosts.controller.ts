import type { SessionLedger } from '@dormouse/ledger';
import { hostList, hostView, type HostView } from '@dormouse/views';
import { Controller, Get, HttpCode, Inject, Param, Post, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { Describe, ReadBody } from '../openapi';
import { IdentifierPipe } from './id-pipes';
import { reasonRequest, type ReasonRequest } from './requests';

@ApiTags('hosts')
@ApiBearerAuth()
@Controller('/v1/hosts')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor, IdempotencyInterceptor)
export class HostsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('viewer', 'nothing of a pool')
  @Describe('listHosts', 'Lists the hosts, what they can do, and how many machines they have', {
    answers: { 200: { description: 'Every host that was ever heard', schema: hostList } },
  })
  async list(): Promise<{ items: readonly HostView[] }> {
    return { items: await this.ledger.listHosts() };
  }

  @Post(':id/cordon')
  @HttpCode(200)
  @Needs('operator', 'everything')
  @Repeatable()
  @Changes('host.cordon')
  @Describe('cordonHost', 'Gives the host no more machines; those it has stay', {
    answers: { 200: { description: 'The cordoned host', schema: hostView } },
    problems: ['HOST_UNKNOWN', 'HOST_FENCED'],
  })
  cordon(
    @Param('id', IdentifierPipe) hostId: string,
    @ReadBody(reasonRequest) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<HostView> {
    return this.ledger.changeHost({ hostId, command: 'cordon', reason, actor });
  }

  @Post(':id/uncordon')
  @HttpCode(200)
  @Needs('operator', 'everything')
  @Repeatable()
  @Changes('host.uncordon')
  @Describe('uncordonHost', 'Gives the host machines again', {
    answers: { 200: { description: 'The open host', schema: hostView } },
    problems: ['HOST_UNKNOWN', 'HOST_FENCED'],
  })
  uncordon(
    @Param('id', IdentifierPipe) hostId: string,
    @ReadBody(reasonRequest) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<HostView> {
    return this.ledger.changeHost({ hostId, command: 'uncordon', reason, actor });
  }

  @Post(':id/drain')
  @HttpCode(200)
  @Needs('operator', 'everything')
  @Repeatable()
  @Changes('host.drain')
  @Describe('drainHost', 'Saves the desktops of the host; those in use are woken on another one', {
    description:
      'The host is cordoned, and its desktops are saved as its slots allow. A desktop that is in use and that no other host can take ' +
      'stays until its user has left. `machines` of the host says how many are left.',
    answers: { 200: { description: 'The draining host', schema: hostView } },
    problems: ['HOST_UNKNOWN', 'HOST_FENCED'],
  })
  drain(
    @Param('id', IdentifierPipe) hostId: string,
    @ReadBody(reasonRequest) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<HostView> {
    return this.ledger.changeHost({ hostId, command: 'drain', reason, actor });
  }

  @Post(':id/fence')
  @HttpCode(200)
  @Needs('admin', 'everything')
  @Repeatable()
  @Changes('host.fence')
  @Describe(
    'fenceHost',
    'Vouches that a silent host is dead: its desktops are given up there, and may start elsewhere',
    {
      description:
        'Make sure that it is off, or cut off from network and disks: a desktop that still runs there would run twice. What was ' +
        'only in the memory of its desktops is lost. When it comes back, its worker ends what still runs, and it is cordoned.',
      answers: { 200: { description: 'The fenced host', schema: hostView } },
      problems: ['HOST_UNKNOWN', 'HOST_ALIVE'],
    },
  )
  fence(
    @Param('id', IdentifierPipe) hostId: string,
    @ReadBody(reasonRequest) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<HostView> {
    return this.ledger.changeHost({ hostId, command: 'fence', reason, actor });
  }
}
