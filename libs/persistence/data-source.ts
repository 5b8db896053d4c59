import 'reflect-metadata';
import { DormouseError } from '@dormouse/errors';
import { limits } from '@dormouse/limits';
import { DataSource, type DataSourceOptions as AnyOptions } from 'typeorm';
import { migrations } from '../../migrations';
import { ApiKeyEntity } from './entities/api-key.entity';
import { AuditEntryEntity } from './entities/audit-entry.entity';
import { CheckpointEntity } from './entities/checkpoint.entity';
import { DataKeyEntity } from './entities/data-key.entity';
import { DesktopEntity } from './entities/desktop.entity';
import { DiskGenerationEntity } from './entities/disk-generation.entity';
import { HostEntity } from './entities/host.entity';
import { InboxEventEntity } from './entities/inbox-event.entity';
import { OperationEntity } from './entities/operation.entity';
import { OutboxEntity } from './entities/outbox.entity';
import { PoolEntity } from './entities/pool.entity';
import { PreparingClient } from './preparing-client';

export interface DataSourceOptions {
  /** Connections held at most; one transaction takes one. */
  readonly poolSize?: number;
  /** Shown in pg_stat_activity. */
  readonly applicationName?: string;
  /** How long a statement may take: somebody waits for the answer of an api. */
  readonly answerMs?: number;
}

/**
 * A plan that is kept may have been made while its table was empty, and reading all of it was best; it would go on doing so. All that
 * comes often finds its rows by an index.
 */
const planning = '-c enable_seqscan=off';

/**
 * Connections stay when nobody uses them: a new one has Postgres start a process, read its catalogs and plan all statements anew, and the
 * user who comes back after a quiet minute would wait for that. One whose other end has gone without a word is found by TCP.
 */
const stayConnected = { idleTimeoutMillis: 0, keepAlive: true };

/** Names the schema change among all who take advisory locks of this database. */
const migrationLock = 0x646f726d;

/**
 * A data source that is not yet connected. `url` may name a directory of unix sockets, as libpq has it:
 * `postgresql:///dormouse?host=/run/dormouse&user=dormouse`.
 * @throws CONFIG_INVALID when it is not the url of a Postgres.
 */
export function createDataSource(url: string, options: DataSourceOptions = {}): DataSource {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new DormouseError('CONFIG_INVALID', 'DATABASE_URL must begin with postgresql:// or postgres://');
  }
  const answerMs = options.answerMs ?? limits.postgresAnswer.ms;
  return new DataSource({
    type: 'postgres',
    // Not `url`: TypeORM would take it apart by itself and lose the unix socket. The driver reads it as libpq does.
    extra: {
      connectionString: url,
      Client: PreparingClient,
      pipeline: true,
      options: `${planning} ${serverLimits(answerMs)}`,
      ...stayConnected,
      connectionTimeoutMillis: limits.postgresConnect.ms,
      query_timeout: answerMs, // of a server that is silent: it gives the connection up
    },
    poolSize: options.poolSize ?? 10,
    ...(options.applicationName === undefined ? {} : { applicationName: options.applicationName }),
    synchronize: false,
    logging: false,
    migrations,
    migrationsTransactionMode: 'all',
    entities: [
      ApiKeyEntity,
      AuditEntryEntity,
      CheckpointEntity,
      DataKeyEntity,
      DesktopEntity,
      DiskGenerationEntity,
      HostEntity,
      InboxEventEntity,
      OperationEntity,
      OutboxEntity,
      PoolEntity,
    ],
  });
}

/** Connects. @throws SERVICE_UNAVAILABLE when that cannot be done, CONFIG_INVALID */
export async function openDatabase(url: string, options: DataSourceOptions = {}): Promise<DataSource> {
  const dataSource = createDataSource(url, options);
  try {
    return await dataSource.initialize();
  } catch (cause) {
    const why = cause instanceof Error && cause.message !== '' ? cause.message : describeCode(cause);
    const message = `Postgres cannot be used: ${why}. Check DATABASE_URL, and that it runs.`;
    throw new DormouseError('SERVICE_UNAVAILABLE', message, {}, { cause });
  }
}

/** Of a name with several addresses Node gives an error without a message. */
function describeCode(error: unknown): string {
  return String((error as { code?: unknown }).code ?? error);
}

/** Held to by Postgres, of a client that is silent, or has given up and is gone. */
function serverLimits(answerMs: number): string {
  const idleMs = limits.postgresIdleTransaction.ms;
  return `-c statement_timeout=${answerMs} -c idle_in_transaction_session_timeout=${idleMs}`;
}

/**
 * Brings the schema up to date. Processes that start together do so one after the other, for as long as that takes.
 * @returns the names of the migrations that were run
 */
export async function runMigrations(dataSource: DataSource): Promise<readonly string[]> {
  const options = dataSource.options as Extract<AnyOptions, { type: 'postgres' }>;
  const extra = { ...(options.extra as object), query_timeout: 0, options: planning };
  const patient = await new DataSource({ ...options, poolSize: 2, extra }).initialize();
  try {
    return await migrate(patient);
  } finally {
    await patient.destroy();
  }
}

async function migrate(dataSource: DataSource): Promise<readonly string[]> {
  const guard = dataSource.createQueryRunner();
  try {
    await guard.query('SELECT pg_advisory_lock($1)', [migrationLock]);
    try {
      const run = await dataSource.runMigrations();
      return run.map(({ name }) => name);
    } finally {
      await guard.query('SELECT pg_advisory_unlock($1)', [migrationLock]);
    }
  } finally {
    await guard.release();
  }
}
