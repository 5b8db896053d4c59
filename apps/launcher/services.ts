import type { DormouseConfig, ServiceConfig } from '@dormouse/config';
import { startPostgres, startRedis } from '@dormouse/embedded';
import type { DormouseError } from '@dormouse/errors';
import type { Logger } from '@dormouse/observability';

/** Postgres and Redis: the user's own where configured, else private ones in the data directory. */
export interface Services {
  readonly config: ServiceConfig;
  readonly embedded: { readonly postgres: boolean; readonly redis: boolean };
  /** Resolves with what happened when one of ours has ended by itself and cannot be started again. */
  readonly lost: Promise<DormouseError>;
  /** Ends those that were started here, in the reverse order. */
  stop(): Promise<void>;
}

/** @throws DEPENDENCY_MISSING, DATA_DIRECTORY_IN_USE, SERVICE_UNAVAILABLE; nothing is left running then. */
export async function startServices(config: DormouseConfig, logger: Logger): Promise<Services> {
  const options = { directory: config.dataDir, log: (message: string) => logger.info(message), revive: true };
  const started: { readonly lost: Promise<DormouseError>; stop(): Promise<void> }[] = [];
  const stop = async () => {
    for (let service = started.pop(); service !== undefined; service = started.pop()) await service.stop();
  };
  try {
    let { databaseUrl, redisUrl } = config;
    if (databaseUrl === null) {
      const postgres = await startPostgres(options);
      started.push(postgres);
      databaseUrl = postgres.url;
    }
    if (redisUrl === null) {
      const redis = await startRedis(options);
      started.push(redis);
      redisUrl = redis.socketPath;
    }
    return {
      config: { ...config, databaseUrl, redisUrl },
      embedded: { postgres: config.databaseUrl === null, redis: config.redisUrl === null },
      lost: Promise.race([...started.map(({ lost }) => lost), new Promise<never>(() => {})]),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
