import { createHash, timingSafeEqual } from 'node:crypto';
import type { Keys } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { tokens } from '../dependencies';
import { setActor } from './actor';
import { RefusalLog } from './refusal-log';

/** The name of the key made on the first start. */
const adminKeyName = 'admin';

/** Lets in who shows the admin key as a bearer token. */
@Injectable()
export class AdminKeyGuard implements CanActivate {
  constructor(
    @Inject(tokens.keys) private readonly keys: Keys,
    @Inject(RefusalLog) private readonly refusals: RefusalLog,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const shown = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (shown !== undefined && isSameKey(shown, this.keys.adminKey)) {
      setActor(request, `key:${adminKeyName}`);
      return true;
    }
    const error = new DormouseError(
      'UNAUTHENTICATED',
      shown === undefined
        ? 'send the admin key: `Authorization: Bearer <key>`; it is in keys/admin.key of the data directory'
        : 'this is not the admin key; it is in keys/admin.key of the data directory',
    );
    await this.refusals.record(request, 'authenticate', error);
    throw error;
  }
}

/** Digests are compared, in constant time: neither the length nor a common beginning of the keys shows in the answer's time. */
function isSameKey(one: string, other: string): boolean {
  const digest = (key: string) => createHash('sha256').update(key).digest();
  return timingSafeEqual(digest(one), digest(other));
}
