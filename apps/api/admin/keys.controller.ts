import type { KeptKey, WrappedKeyStore } from '@dormouse/keys';
import type { KeyRotationView, KeyView, Page } from '@dormouse/ledger';
import { Body, Controller, Get, HttpCode, Inject, Post, Query, UseGuards, UseInterceptors } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { AccessGuard, Actor, ChangeInterceptor, Changes, Needs } from '../access';
import { tokens } from '../dependencies';
import { IdempotencyInterceptor, Repeatable } from '../idempotency';
import { KeyPageBody, KeyRotationBody, ProblemBody } from '../openapi';
import { KeyPageQuery, RotateKeysRequest } from './requests';
import { RotateKeysUsecase } from './rotate-keys.usecase';

@ApiTags('keys')
@ApiBearerAuth()
@ApiResponse({ status: 'default', description: 'A problem', type: ProblemBody })
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
  @ApiOperation({ summary: 'Which data keys there are and what wraps them; never a key itself' })
  @ApiResponse({ status: 200, type: KeyPageBody })
  async list(@Query() { cursor, limit }: KeyPageQuery): Promise<Page<KeyView>> {
    const keys = await this.wrappedKeys.list({ after: cursor ?? null, limit: limit + 1 });
    const shown = keys.slice(0, limit);
    return { items: shown.map(asKeyView), nextCursor: keys.length > limit ? (shown.at(-1)?.purpose ?? null) : null };
  }

  @Post('rotate')
  @Needs('admin', 'everything')
  @HttpCode(200)
  @Repeatable()
  @Changes('keys.rotate')
  @ApiOperation({
    summary: 'Wraps all data keys with a new key-encryption key; checkpoints stay as they are',
    description:
      'Answers after a few seconds at the latest: while `remaining` is above 0, ask again with `rewrapOnly`. ' +
      'A Vault makes its key-encryption keys itself: rotate there first.',
  })
  @ApiResponse({ status: 200, type: KeyRotationBody })
  rotate(@Body() request: RotateKeysRequest, @Actor() actor: string): Promise<KeyRotationView> {
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
