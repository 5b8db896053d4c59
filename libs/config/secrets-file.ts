import { readFile } from 'node:fs/promises';
import { DormouseError } from '@dormouse/errors';
import type { BrokerSecret } from './load-config';
import { brokerSecret, webhookSecret } from './settings';

export interface ListedSecrets {
  readonly webhookSecrets: readonly string[];
  readonly brokerSecrets: readonly BrokerSecret[];
}

/**
 * A secret a line: `whsec_…` of all brokers, `source=whsec_…` of one. Empty lines, and those that begin with `#`, are for people.
 * @throws CONFIG_INVALID when there is no such file, or with the number of the line that is none of these; never with what it says
 */
export async function readSecretsFile(file: string): Promise<ListedSecrets> {
  const lines = (await textOf(file)).split('\n').map((line) => line.trim());
  const webhookSecrets: string[] = [];
  const brokerSecrets: BrokerSecret[] = [];
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const ofBroker = brokerSecret.safeParse(line);
    if (ofBroker.success) brokerSecrets.push(ofBroker.data);
    else if (webhookSecret.safeParse(line).success) webhookSecrets.push(line);
    else
      throw invalid(`line ${index + 1} of ${file} should be whsec_… or source=whsec_…, with 24 to 64 bytes in base64`);
  }
  return { webhookSecrets, brokerSecrets };
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw invalid(`${file} cannot be read: ${(cause as Error).message}`, cause);
  }
}

function invalid(what: string, cause?: unknown): DormouseError {
  return new DormouseError(
    'CONFIG_INVALID',
    `WEBHOOK_SECRETS_FILE: ${what}`,
    { variables: ['WEBHOOK_SECRETS_FILE'] },
    { cause },
  );
}
