import type { KeptCheckpointView, Page, SessionLedger } from '@dormouse/ledger';
import { Body, Controller, Delete, Get, Inject, Param, Put, Query, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { CheckpointBody, CheckpointPageBody, ProblemBody } from '../openapi';
import { CheckpointIdPipe, CheckpointPageQuery, DesktopIdPipe, ReasonRequest } from './requests';

@ApiTags('checkpoints')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/desktops/:id/checkpoints')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class CheckpointsController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('viewer', 'desktop')
  @ApiOperation({ summary: 'Newest first, and why each is kept; those whose objects are gone are left out' })
  @ApiResponse({ status: 200, type: CheckpointPageBody })
  list(
    @Param('id', DesktopIdPipe) id: string,
    @Query() { cursor, limit }: CheckpointPageQuery,
  ): Promise<Page<KeptCheckpointView>> {
    return this.ledger.listCheckpoints(id, { cursor: cursor ?? null, limit });
  }

  @Put(':checkpointId/pin')
  @Needs('operator', 'desktop')
  @Changes('checkpoint.pin')
  @ApiOperation({ summary: 'Keeps a checkpoint, whatever the pool’s policy says, until the pin is taken away' })
  @ApiResponse({ status: 200, type: CheckpointBody })
  pin(
    @Param('id', DesktopIdPipe) desktopId: string,
    @Param('checkpointId', CheckpointIdPipe) checkpointId: string,
    @Body() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<KeptCheckpointView> {
    return this.ledger.pinCheckpoint({ desktopId, checkpointId, reason, actor });
  }

  @Delete(':checkpointId/pin')
  @Needs('operator', 'desktop')
  @Changes('checkpoint.unpin')
  @ApiOperation({
    summary: 'Takes the pin away: the pool’s policy decides about the checkpoint, at once',
    description: 'When nothing else keeps it, it is condemned, as `state` of the answer says.',
  })
  @ApiResponse({ status: 200, type: CheckpointBody })
  unpin(
    @Param('id', DesktopIdPipe) desktopId: string,
    @Param('checkpointId', CheckpointIdPipe) checkpointId: string,
    @Query() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<KeptCheckpointView> {
    return this.ledger.unpinCheckpoint({ desktopId, checkpointId, reason, actor });
  }
}
