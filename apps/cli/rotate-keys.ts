import type { ApiClient } from '@dormouse/api-client';
import type { KeyRotationView } from '@dormouse/views';
import { counted } from './show';

/**
 * Has all keys wrapped anew, request by request until nothing remains. A request that gets nowhere is the last: what
 * remains then is told.
 */
export async function rotateKeys(
  client: Pick<ApiClient, 'rotateKeys'>,
  { reason, rewrapOnly = false }: { readonly reason: string; readonly rewrapOnly?: boolean },
  onProgress: (line: string) => void,
): Promise<KeyRotationView> {
  let latest = await client.rotateKeys({ reason, ...(rewrapOnly ? { rewrapOnly } : {}) });
  let rewrapped = latest.rewrapped;
  while (latest.remaining > 0 && latest.rewrapped > 0) {
    onProgress(`${counted(rewrapped, 'key')} wrapped with ${latest.kekId}, ${latest.remaining} to go`);
    latest = await client.rotateKeys({ reason, rewrapOnly: true });
    rewrapped += latest.rewrapped;
  }
  return { ...latest, rewrapped };
}
