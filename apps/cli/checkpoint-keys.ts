import type { CheckpointKeys } from '@dormouse/checkpoint-tools';
import type { DormouseConfig } from '@dormouse/config';
import { KeyRing, openKeyProvider } from '@dormouse/keys';
import { LedgerKeys } from '@dormouse/ledger';
import { withDatabase } from './host-database';

/**
 * The keys of a desktop's checkpoints, as the worker of this host gets them: wrapped ones from the database, unwrapped by
 * the key provider.
 * @throws SERVICE_UNAVAILABLE, KEY_MISSING, KEY_REJECTED, KEY_UNAVAILABLE
 */
export function loadCheckpointKeys(config: DormouseConfig, desktopId: string): Promise<CheckpointKeys> {
  const work = async (dataSource: ConstructorParameters<typeof LedgerKeys>[0]): Promise<CheckpointKeys> => {
    const keys = new KeyRing(await openKeyProvider(config, () => Promise.resolve(false)), new LedgerKeys(dataSource));
    const dataKey = await keys.existingDesktopKey(desktopId);
    return { dataKey, contentKey: await keys.contentKey() };
  };
  return withDatabase(config, work, ' `checkpoint verify --no-keys` works without it.');
}
