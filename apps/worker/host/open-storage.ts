import { objectKeys } from '@dormouse/checkpoint';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { SessionLedger } from '@dormouse/ledger';
import { within } from '@dormouse/limits';
import type { Logger } from '@dormouse/observability';
import { openBlobStore, openBlobStoreAgain, storageIdentity, type BlobStore } from '@dormouse/storage';

export interface OpenedStorage {
  readonly store: BlobStore;
  /** See `storageIdentity`. */
  readonly identity: string;
}

interface Options {
  readonly hostId: string;
  readonly storageUrl: string;
  readonly ledger: Pick<SessionLedger, 'knownStorages'>;
  readonly logger: Logger;
}

/**
 * Opens the storage of checkpoints. A new one is made only for a deployment that has none: where a name is mistyped, or nothing is
 * mounted, desktops would be saved where no other host looks, and woken from where nothing is.
 * @throws STORAGE_FAILED, STORAGE_FULL, STORAGE_DIFFERS, CONFIG_INVALID
 */
export async function openStorage({ hostId, storageUrl, ledger, logger }: Options): Promise<OpenedStorage> {
  const { others, newest } = await ledger.knownStorages(hostId);
  const isNew = others.length === 0 && newest.length === 0;
  const store = await within('storageLook', isNew ? openBlobStore(storageUrl) : openAgain(storageUrl));
  try {
    const identity = await within('storageLook', storageIdentity(storageUrl));
    const other = others.find(({ storage }) => storage !== identity);
    if (other !== undefined) {
      if (!(await holdsOne(store, newest))) throw differs(other.hostId);
      logger.warn({ hostId: other.hostId }, `the host ${other.hostId} knows the storage by another name`);
    }
    return { store, identity };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function openAgain(storageUrl: string): Promise<BlobStore> {
  try {
    return await openBlobStoreAgain(storageUrl);
  } catch (error) {
    if (!isDormouseError(error, 'STORAGE_FAILED') || typeof error.details['root'] !== 'string') throw error;
    const { root } = error.details;
    const message =
      `there is no storage in ${root}, and the database knows of one. Correct STORAGE_URL, or mount what belongs there; ` +
      `if a new storage is wanted, make the directory ${root}/.incoming first`;
    throw new DormouseError('STORAGE_FAILED', message, { root }, { cause: error });
  }
}

/** Whether it is the storage of these checkpoints, whatever it is called. One that does not answer is not known to be. */
async function holdsOne(
  store: BlobStore,
  checkpoints: readonly { readonly desktopId: string; readonly checkpointId: string }[],
): Promise<boolean> {
  for (const { desktopId, checkpointId } of checkpoints) {
    const found = await within('storageLook', store.stat(objectKeys(desktopId, checkpointId).manifest)).then(
      () => true,
      (error: unknown) => {
        if (isDormouseError(error)) return false;
        throw error;
      },
    );
    if (found) return true;
  }
  return false;
}

function differs(hostId: string): DormouseError {
  const message =
    `STORAGE_URL names another storage than the host ${hostId} uses, and hosts wake each other's desktops. Set the same STORAGE_URL; ` +
    `if ${hostId} is gone for good, say so (\`dormouse host fence ${hostId}\`) and start this one again`;
  return new DormouseError('STORAGE_DIFFERS', message, { hostId });
}
