import type { DormouseConfig, Keys } from '@dormouse/config';
import type { KeyRing, WrappedKeyStore } from '@dormouse/keys';
import type { SessionLedger } from '@dormouse/ledger';
import type { Logger, Metrics } from '@dormouse/observability';
import type { DataSource } from 'typeorm';
import type { DatabaseClock } from './database-clock';
import type { SharedRates } from './rates';

/** What the api is given to work with. */
export interface ApiDependencies {
  readonly ledger: SessionLedger;
  readonly dataSource: DataSource;
  /** Resolves when Redis answers and keeps what it is given. */
  readonly pingRedis: () => Promise<void>;
  readonly clock: Pick<DatabaseClock, 'nowMs'>;
  readonly rates: SharedRates;
  readonly rateLimits: DormouseConfig['rateLimits'];
  /** Where the images of launch specs may come from, for those who are limited to pools. */
  readonly imageDirs: DormouseConfig['imageDirs'];
  readonly keys: Keys;
  readonly keyRing: KeyRing;
  readonly wrappedKeys: WrappedKeyStore;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** The token under which each dependency is injected. */
export const tokens = {
  ledger: Symbol('ledger'),
  dataSource: Symbol('dataSource'),
  pingRedis: Symbol('pingRedis'),
  clock: Symbol('clock'),
  rates: Symbol('rates'),
  rateLimits: Symbol('rateLimits'),
  imageDirs: Symbol('imageDirs'),
  keys: Symbol('keys'),
  keyRing: Symbol('keyRing'),
  wrappedKeys: Symbol('wrappedKeys'),
  logger: Symbol('logger'),
  metrics: Symbol('metrics'),
} as const satisfies Record<keyof ApiDependencies, symbol>;
