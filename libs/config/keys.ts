import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { dataPaths } from './data-directory';
import type { BrokerSecret, DormouseConfig } from './load-config';
import { readSecretsFile, type ListedSecrets } from './secrets-file';
import { adminKey, webhookSecret } from './settings';

export interface Keys {
  readonly adminKey: string;
  /** Of all brokers without secrets of their own; the first signs, all verify. None only when a file of secrets says so. */
  readonly webhookSecrets: readonly string[];
  /** Of brokers that have secrets of their own: only theirs are believed of them. */
  readonly brokerSecrets: readonly BrokerSecret[];
  /** Who has none on purpose, by a file of secrets. */
  readonly without?: readonly string[];
}

/**
 * The keys of the configuration; those it does not name are read from the data directory, and made on the first start. Beside a file of
 * webhook secrets no secret is made: nobody is believed who is not in it.
 * @throws CONFIG_INVALID when a file of secrets is not as it should be; an empty one is no key
 */
export async function loadKeys(config: DormouseConfig): Promise<Keys> {
  const { adminKeyFile } = dataPaths(config.dataDir);
  const adminKey = config.adminKey ?? (await readOrMake(adminKeyFile, ofAdmin));
  return { adminKey, ...(await listedSecrets(config)) };
}

async function listedSecrets(config: DormouseConfig): Promise<ListedSecrets> {
  const { webhookSecretsFile, webhookSecrets, brokerSecrets, dataDir } = config;
  if (webhookSecretsFile !== null) return readSecretsFile(webhookSecretsFile);
  const secrets = webhookSecrets ?? [await readOrMake(dataPaths(dataDir).webhookSecretFile, ofWebhooks)];
  return { webhookSecrets: secrets, brokerSecrets };
}

interface MadeSecret {
  readonly make: () => string;
  readonly isGood: (text: string) => boolean;
}

const ofAdmin: MadeSecret = {
  make: () => `dm_${randomBytes(32).toString('base64url')}`,
  isGood: (text) => adminKey.safeParse(text).success,
};
const ofWebhooks: MadeSecret = {
  make: () => `whsec_${randomBytes(32).toString('base64')}`,
  isGood: (text) => webhookSecret.safeParse(text).success,
};

/**
 * Two processes may start at once: the file appears whole under its name or not at all, and only the first one's stays
 * (link(2) does not replace), so both read the same key.
 */
async function readOrMake(file: string, { make, isGood }: MadeSecret): Promise<string> {
  const existing = await read(file);
  if (existing !== null) {
    if (isGood(existing)) return existing;
    throw new DormouseError(
      'CONFIG_INVALID',
      `${file} ${existing === '' ? 'is empty' : 'does not hold a whole key'}. Put back the key that was in it; or remove the file, ` +
        'and a new key is made at the next start, which all who used the old one need',
      { file },
    );
  }
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
  return readOrMake(file, { make, isGood });
}

async function read(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
