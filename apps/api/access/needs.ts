import type { ApiScope } from '@dormouse/views';
import { SetMetadata } from '@nestjs/common';

/**
 * What the `:id` of a route names, for keys that are limited to pools. `everything`: no single pool, so not for such keys.
 * `nothing of a pool`: for everybody of the scope. `what the caller has`: the route narrows its answer by itself.
 */
export type Subject =
  'desktop' | 'desktop or new' | 'operation' | 'pool' | 'everything' | 'nothing of a pool' | 'what the caller has';

export interface Need {
  readonly scope: ApiScope;
  readonly subject: Subject;
}

export const needKey = 'dormouse:need';

/** Says whom the guard lets in to a route. One that says nothing is for unlimited admins: nothing is open by being forgotten. */
export const Needs = (scope: ApiScope, subject: Subject) => SetMetadata(needKey, { scope, subject } satisfies Need);

export const unsaidNeed: Need = { scope: 'admin', subject: 'everything' };
