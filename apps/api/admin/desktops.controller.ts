import type {
  DesktopView,
  ExplanationView,
  OperationView,
  Page,
  RequestCommand,
  SessionLedger,
} from '@dormouse/ledger';
import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Inject,
  Param,
  Post,
  Put,
  Query,
  Res,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { AccessGuard, Actor, Asking, assertPool, ChangeInterceptor, Changes, Needs, type Caller } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import {
  DesktopBody,
  DesktopPageBody,
  ExplanationBody,
  OperationBody,
  OperationListBody,
  ProblemBody,
} from '../openapi';
import { RegisterDesktopUsecase } from './register-desktop.usecase';
import {
  ConsentRequest,
  DesktopIdPipe,
  momentOf,
  OptionalReasonRequest,
  PageQuery,
  PrewarmRequest,
  PutDesktopRequest,
  ReasonRequest,
  PutAwayRequest,
  RestoreRequest,
  SaveRequest,
} from './requests';

/** What a command may be refused with by the decision about it. */
const decided = [
  'DESKTOP_BUSY',
  'DESKTOP_HELD',
  'USER_PRESENT',
  'PRESENCE_UNKNOWN',
  'POLICY_FORBIDS',
  'CHECKPOINT_UNKNOWN',
  'CONSENT_NEEDED',
] as const;

@ApiTags('desktops')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/desktops')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor, IdempotencyInterceptor)
export class DesktopsController {
  constructor(
    @Inject(tokens.ledger) private readonly ledger: SessionLedger,
    @Inject(RegisterDesktopUsecase) private readonly registerDesktop: RegisterDesktopUsecase,
  ) {}

  @Get()
  @Needs('viewer', 'what the caller has')
  @ApiResponse({ status: 200, type: DesktopPageBody })
  list(@Query() { cursor, limit }: PageQuery, @Asking() { pools }: Caller): Promise<Page<DesktopView>> {
    return this.ledger.listDesktops({ cursor: cursor ?? null, limit, pools });
  }

  @Get(':id')
  @Needs('viewer', 'desktop')
  @ApiResponse({ status: 200, type: DesktopBody })
  show(@Param('id', DesktopIdPipe) id: string): Promise<DesktopView> {
    return this.ledger.viewDesktop(id);
  }

  @Get(':id/explain')
  @Needs('viewer', 'desktop')
  @ApiOperation({ summary: 'Why it is in its state, what comes next and when, and why something did not happen' })
  @ApiResponse({ status: 200, type: ExplanationBody })
  explain(@Param('id', DesktopIdPipe) id: string): Promise<ExplanationView> {
    return this.ledger.explainDesktop(id);
  }

  @Get(':id/operations')
  @Needs('viewer', 'desktop')
  @ApiOperation({
    summary: 'Newest first, also of a desktop that is gone',
    description: 'A key that is limited to pools sees what happened in these, not what happened before in another one.',
  })
  @ApiResponse({ status: 200, type: OperationListBody })
  async operations(
    @Param('id', DesktopIdPipe) id: string,
    @Asking() { pools }: Caller,
  ): Promise<{ items: readonly OperationView[] }> {
    return { items: await this.ledger.listOperations(id, undefined, pools) };
  }

  @Put(':id')
  @Needs('admin', 'desktop or new')
  @Changes('desktop.register')
  @ApiOperation({ summary: 'Registers a desktop, or changes the launch spec of one that is off' })
  @ApiResponse({
    status: 201,
    description: 'Registered: its launch spec was examined and can be saved',
    type: DesktopBody,
  })
  @ApiResponse({ status: 200, description: 'It existed', type: DesktopBody })
  @ApiResponse({ status: 202, description: 'The examination takes its time, see Location', type: OperationBody })
  async put(
    @Param('id', DesktopIdPipe) id: string,
    @Body() request: PutDesktopRequest,
    @Actor() actor: string,
    @Asking() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DesktopView | OperationView> {
    assertPool(caller, request.poolId, `the pool ${request.poolId}`);
    const answer = await this.registerDesktop.execute({ ...request, id, actor, caller });
    switch (answer.kind) {
      case 'registered':
        void reply.status(answer.created ? 201 : 200);
        return answer.desktop;
      case 'pending':
        void reply.status(202).header('location', operationPath(answer.operation));
        return answer.operation;
    }
  }

  @Delete(':id')
  @Needs('admin', 'desktop')
  @HttpCode(204)
  @Changes('desktop.delete')
  @ApiOperation({ summary: 'Forgets a desktop that is off, saved or blocked, with its disks and checkpoints' })
  @ApiResponse({ status: 204 })
  async delete(
    @Param('id', DesktopIdPipe) id: string,
    @Query() { reason }: OptionalReasonRequest,
    @Actor() actor: string,
  ): Promise<void> {
    await this.ledger.deleteDesktop(id, actor, reason);
  }

  @Post(':id/start')
  @Needs('operator', 'desktop')
  @HttpCode(202)
  @Repeatable()
  @Changes('desktop.boot', decided)
  @ApiResponse({ status: 202, type: OperationBody })
  start(
    @Param('id', DesktopIdPipe) id: string,
    @Body() { reason }: ReasonRequest,
    @Actor() requestedBy: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OperationView> {
    return this.request(id, { kind: 'boot', reason, requestedBy }, reply);
  }

  @Post(':id/save')
  @Needs('operator', 'desktop')
  @HttpCode(202)
  @Repeatable()
  @Changes('desktop.save', decided)
  @ApiResponse({ status: 202, type: OperationBody })
  save(
    @Param('id', DesktopIdPipe) id: string,
    @Body() { reason, force, fresh, validForSeconds }: SaveRequest,
    @Actor() requestedBy: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OperationView> {
    const how = { ...forcing({ force, validForSeconds }), ...(fresh && { fresh }) };
    return this.request(id, { kind: 'save', reason, requestedBy, ...how }, reply);
  }

  @Post(':id/restore')
  @Needs('operator', 'desktop')
  @HttpCode(202)
  @Repeatable()
  @Changes('desktop.restore', decided)
  @ApiOperation({
    summary: 'Wakes a desktop that is saved or restore-blocked',
    description:
      'From its current checkpoint, or from an older one that is kept, on the disk of that moment. One that is named and is ' +
      'not the current one is consent to lose what came after it. Until all of its memory is back nothing is changed: a ' +
      'restore that fails leaves the desktop, its checkpoints and its disk as they were.',
  })
  @ApiResponse({ status: 202, type: OperationBody })
  restore(
    @Param('id', DesktopIdPipe) id: string,
    @Body() { reason, checkpointId }: RestoreRequest,
    @Actor() requestedBy: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OperationView> {
    const named = checkpointId === undefined ? {} : { checkpointId };
    return this.request(id, { kind: 'restore', reason, requestedBy, ...named }, reply);
  }

  @Post(':id/consent')
  @Needs('admin', 'desktop')
  @HttpCode(202)
  @Repeatable()
  @Changes('desktop.consent', decided)
  @ApiOperation({
    summary: 'Has a step taken with a desktop that cannot be woken, though it loses work',
    description:
      'What can be consented to, and what each step loses, is in the explanation of a desktop that is restore-blocked. A step that ' +
      'fails leaves its checkpoints and its disk as they were.',
  })
  @ApiResponse({ status: 202, type: OperationBody })
  async consent(
    @Param('id', DesktopIdPipe) id: string,
    @Body() { reason, to }: ConsentRequest,
    @Actor() requestedBy: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OperationView> {
    const operation = await this.ledger.consent(id, { to, reason, requestedBy });
    void reply.header('location', operationPath(operation));
    return operation;
  }

  @Post(':id/prewarm')
  @Needs('operator', 'desktop')
  @HttpCode(202)
  @Repeatable()
  @Changes('desktop.prewarm')
  @ApiOperation({
    summary: 'Boots or wakes a desktop ahead of its user',
    description:
      'One that is up, or coming up, stays as it is. With `until` it is held up to then; without, its pool decides.',
  })
  @ApiResponse({ status: 202, type: DesktopBody })
  prewarm(
    @Param('id', DesktopIdPipe) id: string,
    @Body() { reason, until }: PrewarmRequest,
    @Actor() requestedBy: string,
  ): Promise<DesktopView> {
    return this.ledger.prewarm(id, { reason, requestedBy, ...(until !== undefined && { until: momentOf(until) }) });
  }

  @Post(':id/stop')
  @Needs('operator', 'desktop')
  @HttpCode(202)
  @Repeatable()
  @Changes('desktop.stop', decided)
  @ApiOperation({ summary: 'Powers a running desktop off: what is only in its memory is lost' })
  @ApiResponse({ status: 202, type: OperationBody })
  stop(
    @Param('id', DesktopIdPipe) id: string,
    @Body() { reason, force, validForSeconds }: PutAwayRequest,
    @Actor() requestedBy: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OperationView> {
    return this.request(id, { kind: 'stop', reason, requestedBy, ...forcing({ force, validForSeconds }) }, reply);
  }

  private async request(id: string, command: RequestCommand, reply: FastifyReply): Promise<OperationView> {
    const { operation } = await this.ledger.request(id, command);
    void reply.header('location', operationPath(operation));
    return operation;
  }
}

function forcing({
  force,
  validForSeconds,
}: {
  force: boolean | undefined;
  validForSeconds: number | undefined;
}): Pick<RequestCommand, 'force' | 'validForMs'> {
  if (force !== true) return {};
  return { force, ...(validForSeconds !== undefined && { validForMs: validForSeconds * 1000 }) };
}

function operationPath({ id }: OperationView): string {
  return `/v1/operations/${id}`;
}
