import type { SessionLedger } from '@dormouse/ledger';
import { checkpointPage, keptCheckpointView, type KeptCheckpointView, type Page } from '@dormouse/views';
import { Controller, Delete, Get, Inject, Param, Put, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { Describe, ReadBody, ReadQuery } from '../openapi';
import { CheckpointIdPipe, DesktopIdPipe } from './id-pipes';
import { checkpointPageQuery, reasonQuery, reasonRequest, type PageQuery, type ReasonRequest } from './requests';

@ApiTags('checkpoints')
@ApiBearerAuth()
@Controller('/v1/desktops/:id/checkpoints')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class CheckpointsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('viewer', 'desktop')
  @Describe('listCheckpoints', 'Lists a desktop’s checkpoints, newest first, and why each is kept', {
    description: 'Checkpoints whose objects are gone are left out.',
    answers: { 200: { description: 'A page of checkpoints', schema: checkpointPage } },
    problems: ['DESKTOP_UNKNOWN'],
  })
  list(
    @Param('id', DesktopIdPipe) id: string,
    @ReadQuery(checkpointPageQuery) { cursor, limit }: PageQuery,
  ): Promise<Page<KeptCheckpointView>> {
    return this.ledger.listCheckpoints(id, { cursor: cursor ?? null, limit });
  }

  @Put(':checkpointId/pin')
  @Needs('operator', 'desktop')
  @Changes('checkpoint.pin')
  @Describe('pinCheckpoint', 'Keeps a checkpoint, whatever the pool’s policy says, until the pin is removed', {
    answers: { 200: { description: 'The pinned checkpoint', schema: keptCheckpointView } },
    problems: ['DESKTOP_UNKNOWN', 'CHECKPOINT_UNKNOWN'],
  })
  pin(
    @Param('id', DesktopIdPipe) desktopId: string,
    @Param('checkpointId', CheckpointIdPipe) checkpointId: string,
    @ReadBody(reasonRequest) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<KeptCheckpointView> {
    return this.ledger.pinCheckpoint({ desktopId, checkpointId, reason, actor });
  }

  @Delete(':checkpointId/pin')
  @Needs('operator', 'desktop')
  @Changes('checkpoint.unpin')
  @Describe('unpinCheckpoint', 'Removes the pin: the pool’s policy decides about the checkpoint at once', {
    description: 'When nothing else keeps it, it is condemned, as `state` of the answer says.',
    answers: { 200: { description: 'The checkpoint', schema: keptCheckpointView } },
    problems: ['DESKTOP_UNKNOWN', 'CHECKPOINT_UNKNOWN'],
  })
  unpin(
    @Param('id', DesktopIdPipe) desktopId: string,
    @Param('checkpointId', CheckpointIdPipe) checkpointId: string,
    @ReadQuery(reasonQuery) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<KeptCheckpointView> {
    return this.ledger.unpinCheckpoint({ desktopId, checkpointId, reason, actor });
  }
}
