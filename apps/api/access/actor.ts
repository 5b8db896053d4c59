import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

const actors = new WeakMap<FastifyRequest, string>();

export const anonymous = 'anonymous';

export function setActor(request: FastifyRequest, actor: string): void {
  actors.set(request, actor);
}

export function actorOf(request: FastifyRequest): string {
  return actors.get(request) ?? anonymous;
}

/** Who asks: `key:<name>` or the broker's `source`. */
export const Actor = createParamDecorator((_: unknown, context: ExecutionContext) =>
  actorOf(context.switchToHttp().getRequest<FastifyRequest>()),
);
