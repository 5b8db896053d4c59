import { fileURLToPath } from 'node:url';
import { DormouseError } from '@dormouse/errors';
import { KeyFile } from './key-file';
import type { KeyProvider } from './key-provider';

/** @param url `file:` and the path of a key file. @throws CONFIG_INVALID, KEY_UNAVAILABLE */
export async function openKeyProvider(url: string): Promise<KeyProvider> {
  if (new URL(url).protocol === 'file:') return KeyFile.open(fileURLToPath(url));
  throw new DormouseError('CONFIG_INVALID', `KEY_URL ${url}: there is no key provider of this kind`);
}
