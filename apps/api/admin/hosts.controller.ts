import type { HostView, SessionLedger } from '@dormouse/ledger';
import { Body, Controller, Get, HttpCode, Inject, Param, Post, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { HostBody, HostListBody, ProblemBody } from '../openapi';
import { IdentifierPipe, ReasonRequest } from './requests';

@ApiTags('hosts')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/hosts')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor, IdempotencyInterceptor)
export class HostsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('viewer', 'nothing of a pool')
  @ApiResponse({ status: 200, type: HostListBody })
  async list(): Promise<{ items: readonly HostView[] }> {
    return { items: await this.ledger.listHosts() };
  }

  @Post(':id/cordon')
  @HttpCode(200)
  @Needs('operator', 'everything')
  @Repeatable()
  @Changes('host.cordon')
  @ApiOperation({ summary: 'Gives the host no more machines; those it has stay' })
  @ApiResponse({ status: 200, type: HostBody })
  cordon(
    @Param('id', IdentifierPipe) hostId: string,
    @Body() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<HostView> {
    return this.ledger.changeHost({ hostId, command: 'cordon', reason, actor });
  }

  @Post(':id/uncordon')
  @HttpCode(200)
  @Needs('operator', 'everything')
  @Repeatable()
  @Changes('host.uncordon')
  @ApiOperation({ summary: 'Gives the host machines again' })
  @ApiResponse({ status: 200, type: HostBody })
  uncordon(
    @Param('id', IdentifierPipe) hostId: string,
    @Body() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<HostView> {
    return this.ledger.changeHost({ hostId, command: 'uncordon', reason, actor });
  }

  @Post(':id/drain')
  @HttpCode(200)
  @Needs('operator', 'everything')
  @Repeatable()
  @Changes('host.drain')
  @ApiOperation({
    summary: 'Saves the desktops of the host; those in use are woken on another one',
    description:
      'The host is cordoned, and its desktops are saved as its slots allow. One that is in use and that no other host can take ' +
      'stays until its user has left. `machines` of the host says how many are left.',
  })
  @ApiResponse({ status: 200, type: HostBody })
  drain(
    @Param('id', IdentifierPipe) hostId: string,
    @Body() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<HostView> {
    return this.ledger.changeHost({ hostId, command: 'drain', reason, actor });
  }

  @Post(':id/fence')
  @HttpCode(200)
  @Needs('admin', 'everything')
  @Repeatable()
  @Changes('host.fence')
  @ApiOperation({
    summary: 'Vouches that a silent host is dead: its desktops are given up there, and may start elsewhere',
    description:
      'Make sure that it is off, or cut off from network and disks: a desktop that still runs there would run twice. What was ' +
      'only in the memory of its desktops is lost. When it comes back, its worker ends what still runs, and it is cordoned.',
  })
  @ApiResponse({ status: 200, type: HostBody })
  fence(
    @Param('id', IdentifierPipe) hostId: string,
    @Body() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<HostView> {
    return this.ledger.changeHost({ hostId, command: 'fence', reason, actor });
  }
}
