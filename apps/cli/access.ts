import { ApiClient, findApi } from '@dormouse/api-client';
import { loadConfig, loadKeys, type Environment } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';
import { brokerName } from '@dormouse/text';

export { loadConfig };

/** Whom the commands talk to and with which key: DORMOUSE_URL and DORMOUSE_KEY, else what the data directory tells. */
export interface Access {
  readonly url: string;
  readonly client: ApiClient;
  /** Signs events of this broker. */
  readonly webhookSecret: (source: string) => Promise<string>;
}

/** @throws CONFIG_INVALID; SERVICE_UNAVAILABLE when no api has left its address. */
export async function openAccess(environment: Environment): Promise<Access> {
  const config = loadConfig(environment);
  const url = (givenUrl(environment) ?? (await findApi(config))).replace(/\/+$/, '');
  const adminKey = given(environment, 'DORMOUSE_KEY') ?? (await loadKeys(config)).adminKey;
  return {
    url,
    client: new ApiClient({ url, adminKey }),
    webhookSecret: async (source) => {
      const { brokerSecrets, webhookSecrets } = await loadKeys(config);
      const secret = brokerSecrets.find((one) => one.source === brokerName(source))?.secret ?? webhookSecrets[0];
      if (secret !== undefined) return secret;
      throw new DormouseError(
        'CONFIG_INVALID',
        `no webhook secret signs for ${source}; WEBHOOK_SECRETS_FILE names none`,
      );
    },
  };
}

/** @throws CONFIG_INVALID */
function givenUrl(environment: Environment): string | undefined {
  const url = given(environment, 'DORMOUSE_URL');
  if (url === undefined || (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))) return url;
  throw new DormouseError('CONFIG_INVALID', `DORMOUSE_URL is ${url}; it should be a URL such as http://127.0.0.1:7077`);
}

/** Set to nothing counts as not set, as everywhere. */
function given(environment: Environment, variable: string): string | undefined {
  return environment[variable]?.trim() || undefined;
}
