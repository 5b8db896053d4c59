import { createServer } from 'node:net';
import { dataPaths, removeApiAddress, writeApiAddress, type Keys, type ServiceConfig } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';
import { makeDirectory } from '@dormouse/files';
import { OutboxDispatcher, checkEvictionPolicy, connectRedis } from '@dormouse/jobs';
import { KeyRing, openKeyProvider } from '@dormouse/keys';
import { LedgerKeys, SessionLedger } from '@dormouse/ledger';
import { limits } from '@dormouse/limits';
import { countStep, type Logger, type Metrics } from '@dormouse/observability';
import { openDatabase, runMigrations } from '@dormouse/persistence';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApi } from './create-api';
import { DatabaseClock } from './database-clock';
import { SharedRates } from './rates';

const usualPort = 7077;

export interface RunningApi {
  /** Where it listens, without a slash at the end. */
  readonly url: string;
  /** Stops intake, lets requests under way finish, then lets go of the services. */
  close(): Promise<void>;
}

/**
 * Connects, brings the schema up to date, listens, and leaves its address in the data directory.
 * @throws SERVICE_UNAVAILABLE when Postgres cannot be used; KEY_UNAVAILABLE when the key file cannot; CONFIG_INVALID when the
 * configured port is taken.
 */
export async function startApi(
  config: ServiceConfig,
  { keys, logger, metrics }: { keys: Keys; logger: Logger; metrics: Metrics },
): Promise<RunningApi> {
  await makeDirectory(dataPaths(config.dataDir).keysDir);
  const answerMs = limits.postgresAnswerToApi.ms;
  const closing: (() => Promise<unknown>)[] = [];
  const close = async () => {
    // The last opened is the first to go; each only once.
    for (let step = closing.pop(); step !== undefined; step = closing.pop()) await step();
  };
  try {
    const dataSource = await openDatabase(config.databaseUrl, { applicationName: 'dormouse-api', answerMs });
    closing.push(() => dataSource.destroy());
    await runMigrations(dataSource);
    const wrappedKeys = new LedgerKeys(dataSource);
    const keyProvider = await openKeyProvider(config, () => wrappedKeys.isEmpty());
    const redis = connectRedis(config.redisUrl, logger, { together: true });
    closing.push(async () => {
      redis.disconnect();
    });
    const dispatcher = new OutboxDispatcher({ dataSource, redis: config.redisUrl, log: logger });
    dispatcher.start();
    closing.push(() => dispatcher.stop());
    const ledger = new SessionLedger(dataSource, {
      onOutbox: () => dispatcher.nudge(),
      onStep: (step) => countStep(metrics, step),
    });
    const clock = await DatabaseClock.start(() => ledger.now(), logger);
    closing.push(() => clock.stop());
    const app = await createApi({
      ledger,
      dataSource,
      pingRedis: () => checkEvictionPolicy(redis),
      clock,
      rates: new SharedRates(redis, logger),
      rateLimits: config.rateLimits,
      imageDirs: config.imageDirs,
      keys,
      keyRing: new KeyRing(keyProvider, wrappedKeys),
      wrappedKeys,
      logger,
      metrics,
    });
    closing.push(() => app.close());
    const url = await listen(app, config);
    await writeApiAddress(config.dataDir, { url, pid: process.pid });
    closing.push(() => removeApiAddress(config.dataDir));
    return { url, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function listen(app: NestFastifyApplication, { apiHost, apiPort }: ServiceConfig): Promise<string> {
  const port = apiPort ?? ((await isFree(apiHost, usualPort)) ? usualPort : 0);
  try {
    await app.listen(port, apiHost);
  } catch (cause) {
    throw new DormouseError(
      'CONFIG_INVALID',
      `cannot listen on ${apiHost}:${port}: ${(cause as Error).message}. Set API_HOST and API_PORT to an address that is free.`,
      { variables: ['API_HOST', 'API_PORT'] },
      { cause },
    );
  }
  return reachable(await app.getUrl());
}

/** An api that listens on every address is reached by this machine on the loopback. */
function reachable(listening: string): string {
  const url = new URL(listening);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return url.origin;
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}
