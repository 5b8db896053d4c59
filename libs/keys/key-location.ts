import { fileURLToPath } from 'node:url';
import { DormouseError } from '@dormouse/errors';

export type KeyLocation =
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'vault';
      /** `https://host:port` */
      readonly origin: string;
      /** Where the transit engine is mounted; may hold slashes. */
      readonly mount: string;
      readonly keyName: string;
    };

const pathSegment = /^[\w.-]+$/;

/**
 * `file:///path` or `vault+http(s)://host[:port]/<mount>/<key name>`.
 * @throws CONFIG_INVALID, which never repeats the URL: somebody may have put a token into it
 */
export function parseKeyUrl(text: string): KeyLocation {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'file:' && url.host === '' && url.search === '') return parseFileUrl(url);
  const scheme = /^vault\+(https?):$/.exec(url?.protocol ?? '')?.[1];
  if (url === null || scheme === undefined)
    throw invalid('it is neither file:///path nor vault+https://host/mount/key');
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw invalid('it holds more than host, mount and key; the token goes into VAULT_TOKEN');
  }
  const segments = url.pathname.split('/').slice(1);
  const keyName = segments.pop() ?? '';
  const named = [...segments, keyName].every((segment) => pathSegment.test(segment) && !/^\.+$/.test(segment));
  if (url.host === '' || segments.length === 0 || !named) {
    throw invalid('it has to name a host, the mount of the transit engine and the key');
  }
  return { kind: 'vault', origin: `${scheme}://${url.host}`, mount: segments.join('/'), keyName };
}

function parseFileUrl(url: URL): KeyLocation {
  try {
    return { kind: 'file', path: fileURLToPath(url) };
  } catch (cause) {
    throw invalid(`its path cannot be used (${(cause as Error).message})`);
  }
}

function invalid(why: string): DormouseError {
  return new DormouseError('CONFIG_INVALID', `KEY_URL cannot be used: ${why}`, { variables: ['KEY_URL'] });
}
