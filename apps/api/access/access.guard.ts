import { timingSafeEqual } from 'node:crypto';
import type { Keys } from '@dormouse/config';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { bootstrapKey, hashApiKey, type SessionLedger } from '@dormouse/ledger';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { parseBody } from '../body-parser';
import { tokens } from '../dependencies';
import { assertPool, assertScope, setCaller, type Caller } from './caller';
import { changeOf } from './changes';
import { needKey, unsaidNeed, type Need } from './needs';
import { RateGate } from './rate-gate';
import { RefusalLog } from './refusal-log';

/** Lets in who shows a key, as a bearer token, that allows what the route needs (`@Needs`), and has the body of the request parsed. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    @Inject(tokens.keys) private readonly keys: Keys,
    @Inject(tokens.ledger) private readonly ledger: SessionLedger,
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(RateGate) private readonly gate: RateGate,
    @Inject(RefusalLog) private readonly refusals: RefusalLog,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const handler = context.getHandler();
    const need = this.reflector.get<Need | undefined>(needKey, handler) ?? unsaidNeed;
    try {
      const caller = await this.identify(request);
      setCaller(request, caller);
      await this.gate.pass('key', caller.name);
      request.body = parseBody(request.body); // not before it is known who sends it, and that it is not too often
      assertScope(caller, need.scope);
      await this.nameDesktop(need, request);
      await this.assertSubject(caller, need, request);
    } catch (error) {
      if (!isDormouseError(error)) throw error;
      const action = error.code === 'UNAUTHENTICATED' ? 'authenticate' : changeOf(this.reflector, handler);
      throw action === undefined ? error : await this.refusals.record(request, action, error);
    }
    return true;
  }

  /** @throws UNAUTHENTICATED */
  private async identify(request: FastifyRequest): Promise<Caller> {
    const shown = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (shown === undefined) {
      throw unauthenticated(
        'send a key: `Authorization: Bearer <key>`; the first admin key is in keys/admin.key of the data directory, ' +
          'and `dormouse keys create` makes others',
      );
    }
    if (isSameKey(shown, this.keys.adminKey)) return { name: bootstrapKey, scope: 'admin', pools: null };
    const key = await this.ledger.useApiKey(shown);
    if (key === null) throw unauthenticated('this key is not known here; it is mistyped, or of another Dormouse');
    switch (key.state) {
      case 'valid':
        return key;
      case 'expired':
        throw unauthenticated(`the key ${key.name} has expired on ${key.expiresAt}; an admin makes a new one`);
      case 'revoked':
        throw unauthenticated(`the key ${key.name} was revoked on ${key.revokedAt}; an admin makes a new one`);
    }
  }

  /** Whoever reads the request further finds the desktop by the id that it was registered with. */
  private async nameDesktop({ subject }: Need, { params }: FastifyRequest): Promise<void> {
    const named = params as { id?: string };
    if (!subject.startsWith('desktop') || named.id === undefined) return;
    named.id = (await this.ledger.registeredId(named.id)) ?? named.id;
  }

  /** Unlimited keys are not looked up anything for: every subject is theirs. */
  private async assertSubject(caller: Caller, { subject }: Need, request: FastifyRequest): Promise<void> {
    if (caller.pools === null) return;
    const { id = '' } = (request.params ?? {}) as { id?: string };
    switch (subject) {
      case 'nothing of a pool':
      case 'what the caller has':
        return;
      case 'everything':
        return assertPool(caller, null, 'what concerns all pools');
      case 'pool':
        return assertPool(caller, id, `the pool ${id}`);
      case 'operation':
        return assertPool(caller, await this.ledger.poolOf({ kind: 'operation', id }), `the operation ${id}`);
      case 'desktop':
        return assertPool(caller, await this.ledger.poolOf({ kind: 'desktop', id }), `the desktop ${id}`);
      case 'desktop or new': {
        // The pool of a new one is in the body, which is not validated yet: its use case asserts it.
        const pool = await this.ledger.poolOf({ kind: 'desktop', id });
        return pool === null ? undefined : assertPool(caller, pool, `the desktop ${id}`);
      }
    }
  }
}

function unauthenticated(message: string): DormouseError {
  return new DormouseError('UNAUTHENTICATED', message);
}

/** Hashes are compared, in constant time: neither the length nor a common beginning of the keys shows in the answer's time. */
function isSameKey(one: string, other: string): boolean {
  return timingSafeEqual(hashApiKey(one), hashApiKey(other));
}
