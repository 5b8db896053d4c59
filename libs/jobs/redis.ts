import { Redis, type RedisOptions } from 'ioredis';
import { DormouseError } from '@dormouse/errors';
import { limits } from '@dormouse/limits';
import type { JobLog } from './log';

/** A redis:// or rediss:// url, or the path of a unix socket. */
export type RedisTarget = string;

const longestPauseMs = 1_000;
/** A connection that Redis has closed is waited for as well when it is given up, and keeps the process alive meanwhile. */
const disconnectPatienceMs = 500;

/**
 * A connection for BullMQ's consumers: commands wait for as long as Redis is away. It remembers the duplicates BullMQ
 * makes of it, because closing a consumer in good order never ends without Redis, and open ones keep a process alive.
 */
export class PatientConnection extends Redis {
  private readonly duplicates: Redis[] = [];

  constructor(target: RedisTarget) {
    super(target, { maxRetriesPerRequest: null, retryStrategy });
  }

  override duplicate(override?: Partial<RedisOptions>): Redis {
    const duplicate = super.duplicate(override);
    this.duplicates.push(duplicate);
    return duplicate;
  }

  disconnectAll(): void {
    for (const connection of [this, ...this.duplicates]) connection.disconnect();
  }
}

/** A connection whose commands fail at once while Redis is away, and come back to life with it. */
export function connectRedis(
  target: RedisTarget,
  log: JobLog,
  { together = false }: { /** Commands of one turn of the event loop go out together. */ together?: boolean } = {},
): Redis {
  const options: RedisOptions = {
    enableAutoPipelining: together,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: limits.redisCommand.ms,
    disconnectTimeout: disconnectPatienceMs,
    retryStrategy,
  };
  const redis = new Redis(target, options);
  const absence = new AbsenceLog(log);
  redis.on('error', (error) => absence.begins(error));
  redis.on('ready', () => absence.ends());
  return redis;
}

/** @throws CONFIG_INVALID when Redis would throw jobs away for want of memory; SERVICE_UNAVAILABLE when it is away. */
export async function checkEvictionPolicy(redis: Redis): Promise<void> {
  const answer = await redis.info('memory').catch((cause: unknown) => {
    throw new DormouseError('SERVICE_UNAVAILABLE', 'Redis does not answer', {}, { cause });
  });
  const policy = /^maxmemory_policy:(\S+)/m.exec(answer)?.[1];
  if (policy === undefined || policy === 'noeviction') return;
  throw new DormouseError(
    'CONFIG_INVALID',
    `set maxmemory-policy of Redis to noeviction; with ${policy} it loses jobs`,
  );
}

/**
 * Whether Redis has nothing of what it was given: it was lost, or is new. Leaves a mark, so that only one who asks hears it.
 * False while it is away.
 */
export async function redisWasLost(redis: Redis): Promise<boolean> {
  if (redis.status !== 'ready') return false;
  return (await redis.set('dormouse:has-been-filled', new Date().toISOString(), 'NX')) === 'OK';
}

/** Says once that Redis is away and once that it is back, not at every attempt in between. */
export class AbsenceLog {
  private away = false;

  constructor(private readonly log: JobLog) {}

  begins(error: Error): void {
    if (!this.away) this.log.warn({ err: error }, 'Redis is away; work goes on when it is back');
    this.away = true;
  }

  ends(): void {
    if (this.away) this.log.info({}, 'Redis is back');
    this.away = false;
  }
}

function retryStrategy(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 6), longestPauseMs);
}
