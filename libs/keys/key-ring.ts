import { randomBytes, randomUUID } from 'node:crypto';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { KeyProvider } from './key-provider';
import { keyBytes } from './key-wrapping';
import { contentPurpose, desktopPurpose } from './purpose';
import { UnwrappedKeys } from './unwrapped-keys';
import type { KeptKey, WrappedKeyStore } from './wrapped-key-store';

/** Unwrapped keys are forgotten after this long: a busy worker need not ask a distant provider each time. */
const rememberedMs = 5 * 60_000;
const pageOfKeys = 100;

export interface DesktopKey {
  readonly keyId: string;
  /** 32 bytes, the caller's own copy. */
  readonly key: Buffer;
}

/** What came of wrapping all keys anew. */
export interface Rewrapping {
  /** The KEK that wraps now. */
  readonly kekId: string;
  /** Keys that were wrapped anew. */
  readonly rewrapped: number;
  /** Keys still wrapped otherwise that were not tried: there was no time, or they came meanwhile. Call again. */
  readonly remaining: number;
  /** Keys that their KEK does not unwrap; they stay as they are. */
  readonly rejected: readonly { readonly purpose: string; readonly message: string }[];
}

/** The data keys of a deployment, unwrapped when they are needed. */
export class KeyRing {
  private readonly unwrapped = new UnwrappedKeys(rememberedMs);

  constructor(
    private readonly provider: KeyProvider,
    private readonly store: WrappedKeyStore,
  ) {}

  /** What page content is hashed with, made when there is none. 32 bytes, the same for the whole deployment. */
  async contentKey(): Promise<Buffer> {
    return (await this.findOrMake(contentPurpose)).key;
  }

  /**
   * The key of a desktop, made when it has none: for a desktop without checkpoints.
   * @throws DESKTOP_UNKNOWN when it was deleted meanwhile; KEY_REJECTED; KEY_UNAVAILABLE
   */
  desktopKey(desktopId: string): Promise<DesktopKey> {
    return this.findOrMake(desktopPurpose(desktopId));
  }

  /** The key of a desktop that has checkpoints. @throws KEY_MISSING: without it they are lost, and no other will do */
  async existingDesktopKey(desktopId: string): Promise<DesktopKey> {
    const kept = await this.store.find(desktopPurpose(desktopId));
    if (kept !== null) return this.unwrap(kept);
    const message = `the data key of desktop ${desktopId} is gone, and its checkpoints with it. Bring back its row of data_keys.`;
    throw new DormouseError('KEY_MISSING', message, { desktopId });
  }

  /**
   * Makes a new KEK, where that is for us to do. Nothing is wrapped with it until `rewrapAll`, but what comes new.
   * @throws KEY_REJECTED when this provider is not the one that has wrapped the content key; KEY_UNAVAILABLE
   */
  async addKek(): Promise<void> {
    const content = await this.store.find(contentPurpose);
    if (content !== null) await this.provider.unwrap(content, content.purpose);
    await this.provider.addKek();
  }

  /**
   * Wraps every data key with the newest KEK; what they have encrypted is not touched. Killed at any point, each key is
   * wrapped as before or anew, and both unwrap; called again it does the rest. Others may use all keys meanwhile.
   * @param options.signal ends it after the key at hand, with the rest in `remaining`
   * @throws KEY_UNAVAILABLE
   */
  async rewrapAll(
    options: { readonly signal?: AbortSignal; readonly onProgress?: (done: number, total: number) => void } = {},
  ): Promise<Rewrapping> {
    const { signal, onProgress } = options;
    const kekId = await this.provider.currentKek();
    const total = await this.store.count({ notOfKek: kekId });
    const rejected: Rewrapping['rejected'][number][] = [];
    let rewrapped = 0;
    let done = 0;
    for await (const kept of this.wrappedOtherwise(kekId)) {
      try {
        if (await this.rewrap(kept)) rewrapped += 1;
      } catch (error) {
        if (!isDormouseError(error, 'KEY_REJECTED')) throw error;
        rejected.push({ purpose: kept.purpose, message: error.message });
      }
      onProgress?.(++done, Math.max(done, total));
      // Not before the first: a slow provider must not keep repeated calls from getting anywhere.
      if (signal?.aborted) break;
    }
    const remaining = (await this.store.count({ notOfKek: kekId })) - rejected.length;
    return { kekId, rewrapped, remaining: Math.max(0, remaining), rejected };
  }

  private async *wrappedOtherwise(kekId: string): AsyncGenerator<KeptKey> {
    let after: string | null = null;
    do {
      const page: readonly KeptKey[] = await this.store.list({ notOfKek: kekId, after, limit: pageOfKeys });
      yield* page;
      after = page.at(-1)?.purpose ?? null;
    } while (after !== null);
  }

  /** False when it was rewrapped by somebody else, or shredded, meanwhile. */
  private async rewrap(kept: KeptKey): Promise<boolean> {
    const key = await this.provider.unwrap(kept, kept.purpose);
    try {
      return await this.store.replaceIfUnchanged(kept, await this.provider.wrap(key, kept.purpose));
    } finally {
      key.fill(0);
    }
  }

  private async findOrMake(purpose: string): Promise<DesktopKey> {
    const kept = await this.store.find(purpose);
    if (kept !== null) return this.unwrap(kept);
    const key = randomBytes(keyBytes);
    const wrapped = await this.provider.wrap(key, purpose);
    key.fill(0);
    // Another process may have been faster: its key is the one. And what is handed out is what the store gives back.
    return this.unwrap(await this.store.insertIfAbsent({ id: randomUUID(), purpose, ...wrapped }));
  }

  /** By id, not by purpose: a desktop that was deleted and registered again has another key. */
  private async unwrap(kept: KeptKey): Promise<DesktopKey> {
    let key = this.unwrapped.find(kept.id);
    if (key === null) {
      key = await this.provider.unwrap(kept, kept.purpose);
      this.unwrapped.remember(kept.id, key);
    }
    return { keyId: kept.id, key };
  }
}
