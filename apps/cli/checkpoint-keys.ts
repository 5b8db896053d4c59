import type { CheckpointKeys } from '@dormouse/checkpoint-tools';
import type { DormouseConfig } from '@dormouse/config';
import { runningPostgres } from '@dormouse/embedded';
import { DormouseError } from '@dormouse/errors';
import { KeyRing, openKeyProvider } from '@dormouse/keys';
import { LedgerKeys } from '@dormouse/ledger';
import { createDataSource } from '@dormouse/persistence';

/**
 * The keys of a desktop's checkpoints, as the worker of this host gets them: wrapped ones from the database, unwrapped by
 * the key provider.
 * @throws SERVICE_UNAVAILABLE, KEY_MISSING, KEY_REJECTED, KEY_UNAVAILABLE
 */
export async function loadCheckpointKeys(config: DormouseConfig, desktopId: string): Promise<CheckpointKeys> {
  const embedded = config.databaseUrl === null ? runningPostgres(config.dataDir) : null;
  const url = config.databaseUrl ?? embedded?.url;
  if (url === undefined) throw unavailable(`no Postgres runs in ${config.dataDir}, and DATABASE_URL is not set`);
  try {
    const options = { applicationName: 'dormouse-cli', poolSize: 1 };
    const dataSource = await createDataSource(url, options)
      .initialize()
      .catch((cause: Error) => {
        throw unavailable(cause.message, cause);
      });
    try {
      const keys = new KeyRing(await openKeyProvider(config), new LedgerKeys(dataSource));
      const dataKey = await keys.existingDesktopKey(desktopId);
      return { dataKey, contentKey: await keys.contentKey() };
    } finally {
      await dataSource.destroy();
    }
  } finally {
    embedded?.release();
  }
}

function unavailable(why: string, cause?: unknown): DormouseError {
  const message = `the keys are out of reach: ${why}. \`checkpoint verify --no-keys\` works without them.`;
  return new DormouseError('SERVICE_UNAVAILABLE', message, {}, { cause });
}
