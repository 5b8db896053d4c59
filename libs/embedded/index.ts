/**
 * A private Postgres and a private Redis in a data directory, for those who bring none of their own: started from
 * what is installed on the machine, reachable by unix socket only, gone when their owner is gone.
 * Knows nothing of what is stored in them, nor when they are wanted.
 */
export type { ServiceLog } from './embedded-service';
export {
  runningPostgres,
  startPostgres,
  type EmbeddedPostgres,
  type PostgresOptions,
  type RunningPostgres,
} from './postgres';
export { startRedis, type EmbeddedRedis, type RedisOptions } from './redis';
