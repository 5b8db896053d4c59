import { DormouseError } from '@dormouse/errors';
import { KeyFile } from './key-file';
import { parseKeyUrl } from './key-location';
import type { KeyProvider } from './key-provider';
import { VaultTransit } from './vault-transit';

export interface KeyProviderSettings {
  /** `file:///path` or `vault+http(s)://host[:port]/<mount>/<key name>`. */
  readonly keyUrl: string;
  /** For a Vault. */
  readonly vaultToken: string | null;
}

/**
 * A key file is looked at at once, and made when there is none; a Vault is first asked when it is needed.
 * @param mayBeMade asked when there is no key file: where keys are wrapped already a new one could unwrap none of them
 * @throws CONFIG_INVALID, KEY_UNAVAILABLE
 */
export async function openKeyProvider(
  { keyUrl, vaultToken }: KeyProviderSettings,
  mayBeMade: () => Promise<boolean>,
): Promise<KeyProvider> {
  const location = parseKeyUrl(keyUrl);
  if (location.kind === 'file') return KeyFile.open(location.path, mayBeMade);
  if (vaultToken !== null) return new VaultTransit({ ...location, token: vaultToken });
  throw new DormouseError('CONFIG_INVALID', 'VAULT_TOKEN is not set; the Vault that KEY_URL names asks for it', {
    variables: ['VAULT_TOKEN'],
  });
}
