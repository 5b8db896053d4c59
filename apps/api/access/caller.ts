import { DormouseError } from '@dormouse/errors';
import { apiScopes, type ApiScope } from '@dormouse/views';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { setActor } from './actor';

/** Who asks, and what the key shown allows. */
export interface Caller {
  readonly name: string;
  readonly scope: ApiScope;
  /** What it is limited to; null for all pools and what belongs to none. */
  readonly pools: readonly string[] | null;
}

const callers = new WeakMap<FastifyRequest, Caller>();

export function setCaller(request: FastifyRequest, caller: Caller): void {
  callers.set(request, caller);
  setActor(request, `key:${caller.name}`);
}

/** The caller that the guard has let in; a route without the guard has none, and that is a fault of its code. */
export const Asking = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const caller = callers.get(context.switchToHttp().getRequest<FastifyRequest>());
  if (caller === undefined) throw new Error('the route asks for its caller and has no AccessGuard');
  return caller;
});

/** @throws FORBIDDEN when the caller's key is of a lesser scope */
export function assertScope({ name, scope }: Caller, needed: ApiScope): void {
  if (apiScopes.indexOf(scope) >= apiScopes.indexOf(needed)) return;
  throw new DormouseError('FORBIDDEN', `this takes the scope ${needed}, and the key ${name} has ${scope}`, {
    needed,
    scope,
  });
}

/**
 * @param pool null: there is no such thing, or it belongs to no pool
 * @throws FORBIDDEN when the caller's key is limited to other pools; the same whether `what` is in another pool or nowhere, so
 * that nobody finds out what others have
 */
export function assertPool({ name, pools }: Caller, pool: string | null, what: string): void {
  if (pools === null || (pool !== null && pools.includes(pool))) return;
  throw new DormouseError('FORBIDDEN', `the key ${name} is for ${pools.join(', ')}, and ${what} is not there`, {
    pools,
  });
}
