import { ApiClient, findApi } from '@dormouse/api-client';
import { loadConfig, loadKeys, type Environment } from '@dormouse/config';

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
  const url = (environment['DORMOUSE_URL'] ?? (await findApi(config))).replace(/\/+$/, '');
  const adminKey = environment['DORMOUSE_KEY'] ?? (await loadKeys(config)).adminKey;
  return {
    url,
    client: new ApiClient({ url, adminKey }),
    webhookSecret: async (source) => {
      const { brokerSecrets, webhookSecrets } = await loadKeys(config);
      return brokerSecrets.find((one) => one.source === source)?.secret ?? webhookSecrets[0];
    },
  };
}
