import type { KeptKey, WrappedKeyStore } from '@dormouse/keys';
import { DataKeyEntity } from '@dormouse/persistence';
import type { DataSource, EntityManager } from 'typeorm';

/** The wrapped keys, beside the desktops they belong to: a desktop and its key go in one transaction. */
export class LedgerKeys implements WrappedKeyStore {
  constructor(private readonly dataSource: DataSource) {}

  find(purpose: string): Promise<KeptKey | null> {
    return this.dataSource.manager.findOneBy(DataKeyEntity, { purpose });
  }

  async insertIfAbsent({ id, purpose, kekId, wrapped }: KeptKey): Promise<KeptKey> {
    await this.dataSource.query(
      `INSERT INTO data_keys (id, purpose, kek_id, wrapped, created_at, wrapped_at)
       VALUES ($1, $2, $3, $4, now(), now()) ON CONFLICT (purpose) DO NOTHING`,
      [id, purpose, kekId, wrapped],
    );
    return this.dataSource.manager.findOneByOrFail(DataKeyEntity, { purpose });
  }

  async replace({ id, kekId, wrapped }: KeptKey, before: Pick<KeptKey, 'kekId'>): Promise<boolean> {
    const { affected } = await this.dataSource.manager.update(
      DataKeyEntity,
      { id, kekId: before.kekId },
      { kekId, wrapped, wrappedAt: new Date() },
    );
    return affected === 1;
  }

  list(): Promise<readonly KeptKey[]> {
    return this.dataSource.manager.find(DataKeyEntity, { order: { purpose: 'ASC' } });
  }
}

/** The desktop is deleted: nobody can read its checkpoints again, wherever copies of them may lie. */
export async function shredKey(manager: EntityManager, desktopId: string): Promise<void> {
  await manager.delete(DataKeyEntity, { purpose: `desktop/${desktopId}` });
}
