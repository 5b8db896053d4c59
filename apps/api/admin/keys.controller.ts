import type { KeptKey, WrappedKeyStore } from '@dormouse/keys';
import { keyPage, keyRotationView, type KeyRotationView, type KeyView, type Page } from '@dormouse/views';
import { Controller, Get, HttpCode, Inject, Post, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { Describe, ReadBody, ReadQuery } from '../openapi';
import { keyPageQuery, rotateKeysRequest, type PageQuery, type RotateKeysRequest } from './requests';
import { RotateKeysUsecase } from './rotate-keys.usecase';

@ApiTags('keys')
@ApiBearerAuth()
@Controller('/v1/keys')
@UseGuards(AccessGuard)
@UseInterceptors(ChangeInterceptor, IdempotencyInterceptor)
export class KeysController {
  constructor(
    @Inject(tokens.wrappedKeys) private readonly wrappedKeys: WrappedKeyStore,
    @Inject(RotateKeysUsecase) private readonly rotateKeys: RotateKeysUsecase,
  ) {}

  @Get()
  @Needs('admin', 'everything')
  @Describe('listKeys', 'Lists the data keys and what wraps each; never a key itself', {
    answers: { 200: { description: 'A page of data keys', schema: keyPage } },
  })
  async list(@ReadQuery(keyPageQuery) { cursor, limit }: PageQuery): Promise<Page<KeyView>> {
    const keys = await this.wrappedKeys.list({ after: cursor ?? null, limit: limit + 1 });
    const shown = keys.slice(0, limit);
    return { items: shown.map(asKeyView), nextCursor: keys.length > limit ? (shown.at(-1)?.purpose ?? null) : null };
  }

  @Post('rotate')
  @Needs('admin', 'everything')
  @HttpCode(200)
  @Repeatable()
  @Changes('keys.rotate')
  @Describe('rotateKeys', 'Wraps all data keys with a new key-encryption key; checkpoints stay as they are', {
    description:
      'Answers after a few seconds at the latest: while `remaining` is above 0, ask again with `rewrapOnly`. ' +
      'A Vault makes its key-encryption keys itself: rotate there first.',
    answers: { 200: { description: 'What was wrapped, and what remains', schema: keyRotationView } },
    problems: ['KEY_UNAVAILABLE'],
  })
  rotate(@ReadBody(rotateKeysRequest) request: RotateKeysRequest, @Actor() actor: string): Promise<KeyRotationView> {
    return this.rotateKeys.execute({ ...request, actor });
  }
}

function asKeyView({ purpose, id, kekId, createdAt, wrappedAt }: KeptKey): KeyView {
  return {
    scope: purpose,
    keyId: id,
    kekId,
    createdAt: createdAt.toISOString(),
    wrappedAt: wrappedAt.toISOString(),
  };
}
