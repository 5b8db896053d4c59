import type { DormouseConfig } from '@dormouse/config';
import { runningPostgres } from '@dormouse/embedded';
import { DormouseError } from '@dormouse/errors';
import { createDataSource } from '@dormouse/persistence';
import type { DataSource } from 'typeorm';

/**
 * The database of the worker of this host.
 * @param instead what to do without it, a sentence
 * @throws SERVICE_UNAVAILABLE
 */
export async function withDatabase<T>(
  config: DormouseConfig,
  work: (dataSource: DataSource) => Promise<T>,
  instead = '',
): Promise<T> {
  const unavailable = (why: string, cause?: unknown): DormouseError =>
    new DormouseError('SERVICE_UNAVAILABLE', `the database is out of reach: ${why}.${instead}`, {}, { cause });
  const embedded = config.databaseUrl === null ? runningPostgres(config.dataDir) : null;
  const url = config.databaseUrl ?? embedded?.url;
  if (url === undefined) throw unavailable(`no Postgres runs in ${config.dataDir}, and DATABASE_URL is not set`);
  try {
    const dataSource = await createDataSource(url, { applicationName: 'dormouse-cli', poolSize: 1 })
      .initialize()
      .catch((cause: Error) => {
        throw unavailable(cause.message, cause);
      });
    try {
      return await work(dataSource);
    } finally {
      await dataSource.destroy();
    }
  } finally {
    embedded?.release();
  }
}
