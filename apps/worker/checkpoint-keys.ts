import type { CheckpointKeys } from '@dormouse/hypervisor';
import type { KeyRing } from '@dormouse/keys';

/** For a save; a desktop that was never saved gets its key now. */
export async function keysForSave(keys: KeyRing, desktopId: string): Promise<CheckpointKeys> {
  const [{ keyId, key }, contentKey] = await Promise.all([keys.desktopKey(desktopId), keys.contentKey()]);
  return { keyId, dataKey: key, contentKey };
}

/** For a wake. @throws KEY_MISSING */
export async function keysForWake(keys: KeyRing, desktopId: string): Promise<CheckpointKeys> {
  const [{ keyId, key }, contentKey] = await Promise.all([keys.existingDesktopKey(desktopId), keys.contentKey()]);
  return { keyId, dataKey: key, contentKey };
}
