import { DormouseError } from '@dormouse/errors';
import {
  desktopPurpose,
  type KeptKey,
  type NewKey,
  type WrappedKey,
  type WrappedKeyQuery,
  type WrappedKeyStore,
} from '@dormouse/keys';
import { DataKeyEntity } from '@dormouse/persistence';
import { MoreThan, Not, type DataSource, type EntityManager } from 'typeorm';
import { databaseTime } from './transactions';

/** `foreign_key_violation` of Postgres. */
const noSuchDesktop = '23503';
const attempts = 3;

/** The wrapped keys, beside the desktops they belong to: a desktop and its key go in one transaction. */
export class LedgerKeys implements WrappedKeyStore {
  constructor(
    private readonly dataSource: DataSource,
    /** Null: the clock of the database. */
    private readonly now: (() => Date) | null = null,
  ) {}

  find(purpose: string): Promise<KeptKey | null> {
    return this.dataSource.manager.findOneBy(DataKeyEntity, { purpose });
  }

  async insertIfAbsent(key: NewKey): Promise<KeptKey> {
    // One that was there may be shredded before it is read, with its desktop: the next insert then says so.
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      await this.insert(key);
      const kept = await this.find(key.purpose);
      if (kept !== null) return kept;
    }
    throw new DormouseError('SUPERSEDED', `the key of ${key.purpose} is deleted as often as it is made`);
  }

  async replaceIfUnchanged(before: NewKey, { kekId, wrapped }: WrappedKey): Promise<boolean> {
    const { affected } = await this.dataSource.manager.update(
      DataKeyEntity,
      { id: before.id, wrapped: before.wrapped },
      { kekId, wrapped, wrappedAt: await this.time() },
    );
    return affected === 1;
  }

  list({ notOfKek, after, limit }: WrappedKeyQuery): Promise<readonly KeptKey[]> {
    return this.dataSource.manager.find(DataKeyEntity, {
      where: {
        ...(notOfKek === undefined ? {} : { kekId: Not(notOfKek) }),
        ...(after === null ? {} : { purpose: MoreThan(after) }),
      },
      order: { purpose: 'ASC' },
      take: limit,
    });
  }

  count({ notOfKek }: { readonly notOfKek: string }): Promise<number> {
    return this.dataSource.manager.countBy(DataKeyEntity, { kekId: Not(notOfKek) });
  }

  /** Whether nothing was ever wrapped: there is no key-encryption key yet that is needed. */
  async isEmpty(): Promise<boolean> {
    return !(await this.dataSource.manager.existsBy(DataKeyEntity, {}));
  }

  private async time(): Promise<Date> {
    return this.now?.() ?? databaseTime(this.dataSource.manager);
  }

  private async insert({ id, purpose, kekId, wrapped }: NewKey): Promise<void> {
    try {
      await this.dataSource.query(
        `INSERT INTO data_keys (id, purpose, kek_id, wrapped, created_at, wrapped_at)
         VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (purpose) DO NOTHING`,
        [id, purpose, kekId, wrapped, await this.time()],
      );
    } catch (cause) {
      if ((cause as { code?: unknown }).code !== noSuchDesktop) throw cause;
      throw new DormouseError('DESKTOP_UNKNOWN', `${purpose} is not registered, so it gets no key`, {}, { cause });
    }
  }
}

/** The desktop is deleted: nobody can read its checkpoints again, wherever copies of them may lie. */
export async function shredKey(manager: EntityManager, desktopId: string): Promise<void> {
  await manager.delete(DataKeyEntity, { purpose: desktopPurpose(desktopId) });
}
