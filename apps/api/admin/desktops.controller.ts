import type { RequestCommand, SessionLedger } from '@dormouse/ledger';
import {
  desktopPage,
  desktopView,
  explanationView,
  operationList,
  operationView,
  type DesktopView,
  type ExplanationView,
  type OperationView,
  type Page,
} from '@dormouse/views';
import {
  Controller,
  Delete,
  Get,
  HttpCode,
  Inject,
  Param,
  Post,
  Put,
  Res,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { AccessGuard, Actor, Asking, assertPool, ChangeInterceptor, Changes, Needs, type Caller } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { Describe, ReadBody, ReadQuery } from '../openapi';
import { RegisterDesktopUsecase } from './register-desktop.usecase';
import { DesktopIdPipe } from './id-pipes';
import {
  consentRequest,
  desktopPageQuery,
  optionalReasonQuery,
  prewarmRequest,
  putAwayRequest,
  putDesktopRequest,
  reasonRequest,
  restoreRequest,
  saveRequest,
  type ConsentRequest,
  type OptionalReasonQuery,
  type PageQuery,
  type PrewarmRequest,
  type PutAwayRequest,
  type PutDesktopRequest,
  type ReasonRequest,
  type RestoreRequest,
  type SaveRequest,
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

/** Commands that begin an operation, or join one. */
const begins = {
  answers: { 202: { description: 'The operation, see Location', schema: operationView } },
  problems: ['DESKTOP_UNKNOWN', ...decided],
} as const;

@ApiTags('desktops')
@ApiBearerAuth()
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
  @Describe('listDesktops', 'Lists the desktops that the caller may see, by id', {
    answers: { 200: { description: 'A page of desktops', schema: desktopPage } },
  })
  list(
    @ReadQuery(desktopPageQuery) { cursor, limit }: PageQuery,
    @Asking() { pools }: Caller,
  ): Promise<Page<DesktopView>> {
    return this.ledger.listDesktops({ cursor: cursor ?? null, limit, pools });
  }

  @Get(':id')
  @Needs('viewer', 'desktop')
  @Describe('getDesktop', 'Shows a desktop', {
    answers: { 200: { description: 'The desktop', schema: desktopView } },
    problems: ['DESKTOP_UNKNOWN'],
  })
  show(@Param('id', DesktopIdPipe) id: string): Promise<DesktopView> {
    return this.ledger.viewDesktop(id);
  }

  @Get(':id/explain')
  @Needs('viewer', 'desktop')
  @Describe('explainDesktop', 'Explains a desktop: why it is in its state, what comes next, and what did not happen', {
    answers: { 200: { description: 'The explanation', schema: explanationView } },
    problems: ['DESKTOP_UNKNOWN'],
  })
  explain(@Param('id', DesktopIdPipe) id: string): Promise<ExplanationView> {
    return this.ledger.explainDesktop(id);
  }

  @Get(':id/operations')
  @Needs('viewer', 'desktop')
  @Describe('listOperations', 'Lists a desktop’s operations, newest first, also when the desktop is gone', {
    description: 'A key that is limited to pools sees what happened in these, not what happened before in another one.',
    answers: { 200: { description: 'The operations', schema: operationList } },
    problems: ['DESKTOP_UNKNOWN'],
  })
  async operations(
    @Param('id', DesktopIdPipe) id: string,
    @Asking() { pools }: Caller,
  ): Promise<{ items: readonly OperationView[] }> {
    return { items: await this.ledger.listOperations(id, undefined, pools) };
  }

  @Put(':id')
  @Needs('admin', 'desktop or new')
  @Changes('desktop.register')
  @Describe('putDesktop', 'Registers a desktop, or changes the launch spec of one that is off', {
    answers: {
      200: { description: 'It existed', schema: desktopView },
      201: { description: 'Registered: its launch spec was examined and can be saved', schema: desktopView },
      202: { description: 'The examination takes its time, see Location', schema: operationView },
    },
    problems: [
      'LAUNCH_SPEC_INVALID',
      'LAUNCH_SPEC_FORBIDDEN',
      'DESKTOP_NOT_MIGRATABLE',
      'POOL_UNKNOWN',
      'HOST_UNAVAILABLE',
      'DESKTOP_BUSY',
    ],
  })
  async put(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(putDesktopRequest) request: PutDesktopRequest,
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
  @Describe('deleteDesktop', 'Deletes a desktop that is off, saved or blocked, with its disks and checkpoints', {
    answers: { 204: { description: 'It is gone', schema: null } },
    problems: ['DESKTOP_UNKNOWN', 'DESKTOP_BUSY'],
  })
  async delete(
    @Param('id', DesktopIdPipe) id: string,
    @ReadQuery(optionalReasonQuery) { reason }: OptionalReasonQuery,
    @Actor() actor: string,
  ): Promise<void> {
    await this.ledger.deleteDesktop(id, actor, reason);
  }

  @Post(':id/start')
  @Needs('operator', 'desktop')
  @HttpCode(202)
  @Repeatable()
  @Changes('desktop.boot', decided)
  @Describe('startDesktop', 'Boots a desktop that is off', begins)
  start(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(reasonRequest) { reason }: ReasonRequest,
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
  @Describe('saveDesktop', 'Saves a running desktop and puts it to sleep', begins)
  save(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(saveRequest) { reason, force, fresh, validForSeconds }: SaveRequest,
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
  @Describe('restoreDesktop', 'Wakes a desktop that is saved or restore-blocked', {
    ...begins,
    description:
      'From its current checkpoint, or from an older one that is kept, on the disk of that moment. To name one that is not the ' +
      'current one is to consent to the loss of what came after it. Until all of its memory is back nothing is changed: a ' +
      'restore that fails leaves the desktop, its checkpoints and its disk as they were.',
  })
  restore(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(restoreRequest) { reason, checkpointId }: RestoreRequest,
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
  @Describe('consentToLoss', 'Consents to a step that loses work, for a desktop that cannot be woken', {
    ...begins,
    description:
      'What can be consented to, and what each step loses, is in the explanation of a desktop that is restore-blocked. A step that ' +
      'fails leaves its checkpoints and its disk as they were.',
  })
  async consent(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(consentRequest) { reason, to }: ConsentRequest,
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
  @Describe('prewarmDesktop', 'Boots or wakes a desktop ahead of its user', {
    description:
      'A desktop that is up, or coming up, stays as it is. With `until` it is held up to then; without, its pool decides.',
    answers: { 202: { description: 'The desktop, up or coming up', schema: desktopView } },
    problems: ['DESKTOP_UNKNOWN', ...decided],
  })
  prewarm(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(prewarmRequest) { reason, until }: PrewarmRequest,
    @Actor() requestedBy: string,
  ): Promise<DesktopView> {
    return this.ledger.prewarm(id, { reason, requestedBy, ...(until !== undefined && { until }) });
  }

  @Post(':id/stop')
  @Needs('operator', 'desktop')
  @HttpCode(202)
  @Repeatable()
  @Changes('desktop.stop', decided)
  @Describe('stopDesktop', 'Powers a running desktop off: what is only in its memory is lost', begins)
  stop(
    @Param('id', DesktopIdPipe) id: string,
    @ReadBody(putAwayRequest) { reason, force, validForSeconds }: PutAwayRequest,
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
