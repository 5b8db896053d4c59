import { randomBytes, randomUUID } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import type { KeyProvider, WrappedKey } from './key-provider';

const keyBytes = 32;
/** Unwrapped keys are forgotten after this long, so that a busy worker need not ask a distant provider each time. */
const rememberedMs = 5 * 60_000;

/** Page content is recognised across desktops by one key. */
const contentPurpose = 'content';

/** A wrapped key as it is kept. */
export interface KeptKey extends WrappedKey {
  readonly id: string;
  readonly purpose: string;
}

/** Keeper of the wrapped keys; one for each purpose. */
export interface WrappedKeyStore {
  find(purpose: string): Promise<KeptKey | null>;
  /** Leaves one that is there as it is. @returns the one that is kept */
  insertIfAbsent(key: KeptKey): Promise<KeptKey>;
  /** @returns false when it is not wrapped as it was any more */
  replace(key: KeptKey, before: Pick<KeptKey, 'kekId'>): Promise<boolean>;
  list(): Promise<readonly KeptKey[]>;
}

export interface DesktopKey {
  readonly keyId: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** The data keys of a deployment, unwrapped when they are needed. */
export class KeyRing {
  private readonly unwrapped = new Map<string, { readonly key: Buffer; readonly untilMs: number }>();

  constructor(
    private readonly provider: KeyProvider,
    private readonly store: WrappedKeyStore,
  ) {}

  /** What page content is hashed with. 32 bytes, the same for the whole deployment. */
  async contentKey(): Promise<Buffer> {
    return (await this.findOrMake(contentPurpose)).key;
  }

  /** The key of a desktop, made when it has none: for a save. */
  desktopKey(desktopId: string): Promise<DesktopKey> {
    return this.findOrMake(desktopPurpose(desktopId));
  }

  /** The key of a desktop that has checkpoints. @throws KEY_MISSING: without it they are lost, and no other will do */
  async existingDesktopKey(desktopId: string): Promise<DesktopKey> {
    const kept = await this.store.find(desktopPurpose(desktopId));
    if (kept !== null) return this.unwrap(kept);
    const message = `the data key of desktop ${desktopId} is gone, and its checkpoints with it`;
    throw new DormouseError('KEY_MISSING', message, { desktopId });
  }

  /**
   * Makes a new key-encryption key and wraps every data key with it. No checkpoint is touched. Killed half way, some keys
   * are wrapped with the old one, which still works; doing it again finishes it.
   */
  async rotate(onProgress: (done: number, total: number) => void = () => undefined): Promise<number> {
    await this.provider.rotate();
    const kept = await this.store.list();
    for (const [done, before] of kept.entries()) {
      const key = await this.provider.unwrap(before, before.purpose);
      await this.store.replace({ ...before, ...(await this.provider.wrap(key, before.purpose)) }, before);
      onProgress(done + 1, kept.length);
    }
    return kept.length;
  }

  private async findOrMake(purpose: string): Promise<DesktopKey> {
    const kept = await this.store.find(purpose);
    if (kept !== null) return this.unwrap(kept);
    const wrapped = await this.provider.wrap(randomBytes(keyBytes), purpose);
    // Another process may have been faster: its key is the one.
    return this.unwrap(await this.store.insertIfAbsent({ id: randomUUID(), purpose, ...wrapped }));
  }

  /** By id, not by purpose: a desktop that was deleted and registered again has another key. */
  private async unwrap(kept: KeptKey): Promise<DesktopKey> {
    const known = this.unwrapped.get(kept.id);
    if (known !== undefined && known.untilMs > Date.now()) return { keyId: kept.id, key: known.key };
    const key = await this.provider.unwrap(kept, kept.purpose);
    for (const [id, { untilMs }] of this.unwrapped) if (untilMs <= Date.now()) this.unwrapped.delete(id);
    this.unwrapped.set(kept.id, { key, untilMs: Date.now() + rememberedMs });
    return { keyId: kept.id, key };
  }
}

function desktopPurpose(desktopId: string): string {
  return `desktop/${desktopId}`;
}
