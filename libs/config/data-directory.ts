import { join } from 'node:path';

/** Where the things that several processes look for lie in the data directory. */
export function dataPaths(dataDir: string) {
  return {
    /** Address of the running api, see `ApiAddress`. */
    apiFile: join(dataDir, 'api.json'),
    /** Which host it belongs to, see `claimDataDirectory`. */
    claimFile: join(dataDir, 'host.json'),
    keysDir: join(dataDir, 'keys'),
    masterKeyFile: join(dataDir, 'keys', 'master.json'),
    adminKeyFile: join(dataDir, 'keys', 'admin.key'),
    webhookSecretFile: join(dataDir, 'keys', 'webhook.secret'),
  } as const;
}
