import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { dataPaths } from './data-directory';
import type { BrokerSecret, DormouseConfig } from './load-config';
import { readSecretsFile, type ListedSecrets } from './secrets-file';

export interface Keys {
  readonly adminKey: string;
  /** At least one; the first signs, all verify. */
  readonly webhookSecrets: readonly [string, ...string[]];
  /** Of brokers that have secrets of their own: only theirs are believed of them. */
  readonly brokerSecrets: readonly BrokerSecret[];
}

/**
 * The keys of the configuration; those it does not name are read from the data directory, and made on the first start.
 * @throws CONFIG_INVALID when the file of webhook secrets is not as it should be
 */
export async function loadKeys(config: DormouseConfig): Promise<Keys> {
  const paths = dataPaths(config.dataDir);
  const adminKey = config.adminKey ?? (await readOrMake(paths.adminKeyFile, makeAdminKey));
  const { webhookSecrets, brokerSecrets } = await listedSecrets(config);
  const [first, ...more] = webhookSecrets;
  return {
    adminKey,
    webhookSecrets: [first ?? (await readOrMake(paths.webhookSecretFile, makeWebhookSecret)), ...more],
    brokerSecrets,
  };
}

async function listedSecrets({
  webhookSecretsFile,
  webhookSecrets,
  brokerSecrets,
}: DormouseConfig): Promise<ListedSecrets> {
  if (webhookSecretsFile !== null) return readSecretsFile(webhookSecretsFile);
  return { webhookSecrets: webhookSecrets ?? [], brokerSecrets };
}

const makeAdminKey = () => `dm_${randomBytes(32).toString('base64url')}`;
const makeWebhookSecret = () => `whsec_${randomBytes(32).toString('base64')}`;

/**
 * Two processes may start at once: the file appears whole under its name or not at all, and only the first one's stays
 * (link(2) does not replace), so both read the same key.
 */
async function readOrMake(file: string, make: () => string): Promise<string> {
  const existing = await read(file);
  if (existing !== null) return existing;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomUUID()}`;
  try {
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(`${make()}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return (await readFile(file, 'utf8')).trim();
}

async function read(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
