import type { SessionLedger } from '@dormouse/ledger';
import { apiKeyList, apiKeyView, newApiKeyView, type ApiKeyView, type NewApiKeyView } from '@dormouse/views';
import { Controller, Delete, Get, HttpCode, Inject, Param, Put, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { Describe, ReadBody, ReadQuery } from '../openapi';
import { IdentifierPipe } from './id-pipes';
import { createApiKeyRequest, reasonQuery, type CreateApiKeyRequest, type ReasonRequest } from './requests';

@ApiTags('api-keys')
@ApiBearerAuth()
@Controller('/v1/api-keys')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor)
export class ApiKeysController {
  constructor(@Inject(tokens.ledger) private readonly ledger: SessionLedger) {}

  @Get()
  @Needs('admin', 'everything')
  @Describe('listApiKeys', 'Lists the keys of the api and how long each is valid; never a key itself', {
    description: 'The admin key of the configuration is not among them.',
    answers: { 200: { description: 'Every key, expired and revoked ones too', schema: apiKeyList } },
  })
  async list(): Promise<{ items: readonly ApiKeyView[] }> {
    return { items: await this.ledger.listApiKeys() };
  }

  // PUT under its name, and no POST: an answer that holds a key must not be kept anywhere to be given again.
  @Put(':id')
  @HttpCode(201)
  @Needs('admin', 'everything')
  @Changes('api-key.create')
  @Describe('createApiKey', 'Makes a key; the answer is the only place where it can be read', {
    description: 'A name is taken for ever: in the audit log it means one key.',
    answers: { 201: { description: 'The new key', schema: newApiKeyView } },
    problems: ['API_KEY_EXISTS', 'POOL_UNKNOWN'],
  })
  async create(
    @Param('id', IdentifierPipe) name: string,
    @ReadBody(createApiKeyRequest) { scope, pools, expiresInDays, reason }: CreateApiKeyRequest,
    @Actor() actor: string,
  ): Promise<NewApiKeyView> {
    const wanted = { name, scope, pools: pools ?? null, expiresInDays, reason, actor };
    const { view, key } = await this.ledger.createApiKey(wanted);
    return { ...view, key };
  }

  @Delete(':id')
  @Needs('admin', 'everything')
  @Changes('api-key.revoke')
  @Describe('revokeApiKey', 'Revokes a key: from now on it lets nobody in', {
    answers: { 200: { description: 'The revoked key', schema: apiKeyView } },
    problems: ['API_KEY_UNKNOWN'],
  })
  revoke(
    @Param('id', IdentifierPipe) name: string,
    @ReadQuery(reasonQuery) { reason }: ReasonRequest,
    @Actor() actor: string,
  ): Promise<ApiKeyView> {
    return this.ledger.revokeApiKey({ name, reason, actor });
  }
}
