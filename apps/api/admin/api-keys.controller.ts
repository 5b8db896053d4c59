import type { ApiKeyView, SessionLedger } from '@dormouse/ledger';
import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Inject,
  Param,
  Put,
  Query,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { ApiKeyBody, ApiKeyListBody, NewApiKeyBody, ProblemBody } from '../openapi';
import { CreateApiKeyRequest, IdentifierPipe, ReasonRequest } from './requests';

@ApiTags('api-keys')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
@Controller('/v1/api-keys')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class ApiKeysController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('admin', 'everything')
  @ApiOperation({
    summary: 'Who may ask, and until when; never a key itself. The key of the configuration is not among them',
  })
  @ApiResponse({ status: 200, type: ApiKeyListBody })
  async list(): Promise<{ items: readonly ApiKeyView[] }> {
    return { items: await this.ledger.listApiKeys() };
  }

  // PUT under its name, and no POST: an answer that holds a key must not be kept anywhere to be given again.
  @Put(':id')
  @HttpCode(201)
  @Needs('admin', 'everything')
  @Changes('api-key.create')
  @ApiOperation({
    summary: 'Makes a key; the answer is the only place where it can be read',
    description:
      'A name is taken for ever: in the audit log it means one key. Made again it is a problem, API_KEY_EXISTS.',
  })
  @ApiResponse({ status: 201, type: NewApiKeyBody })
  async create(
    @Param('id', IdentifierPipe) name: string,
    @Body() { scope, pools, expiresInDays, reason }: CreateApiKeyRequest,
    @Actor() actor: string,
  ): Promise<ApiKeyView & { key: string }> {
    const wanted = { name, scope, pools: pools ?? null, expiresInDays, reason, actor };
    const { view, key } = await this.ledger.createApiKey(wanted);
    return { ...view, key };
  }

  @Delete(':id')
  @Needs('admin', 'everything')
  @Changes('api-key.revoke')
  @ApiOperation({ summary: 'Nobody is let in with it any more, from this moment on' })
  @ApiResponse({ status: 200, type: ApiKeyBody })
  revoke(
    @Param('id', IdentifierPipe) name: string,
    @Query() { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<ApiKeyView> {
    return this.ledger.revokeApiKey({ name, reason, actor });
  }
}
