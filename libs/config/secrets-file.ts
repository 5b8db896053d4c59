import { readFile } from 'node:fs/promises';
import { DormouseError } from '@dormouse/errors';
import type { BrokerSecret } from './load-config';
import { brokerSecret, webhookSecret } from './settings';

export interface ListedSecrets {
  readonly webhookSecrets: readonly string[];
  readonly brokerSecrets: readonly BrokerSecret[];
  /** Who has no secret on purpose: brokers by their names, and `forAllBrokers`. */
  readonly without?: readonly string[];
}

/** What stands for all brokers that have no secrets of their own. No broker is called so: a name is not empty. */
export const forAllBrokers = '';

/**
 * A secret a line: `whsec_…` of all brokers, `source=whsec_…` of one. `none`, or `source=none`, says that there is none any more. Empty
 * lines, and those that begin with `#`, are for people.
 * @throws CONFIG_INVALID when there is no such file or no secret in it, or with the number of the line that is none of these; never with
 * what it says
 */
export async function readSecretsFile(file: string): Promise<ListedSecrets> {
  const lines = (await textOf(file)).replace(/^\uFEFF/, '').split('\n');
  const webhookSecrets: string[] = [];
  const brokerSecrets: BrokerSecret[] = [];
  const without: string[] = [];
  for (const [index, text] of lines.entries()) {
    const line = text.trim();
    if (line === '' || line.startsWith('#')) continue;
    const nobody = /^(?:(.+)=)?none$/.exec(line);
    const ofBroker = brokerSecret.safeParse(line);
    if (nobody !== null) without.push(nobody[1] ?? forAllBrokers);
    else if (ofBroker.success) brokerSecrets.push(ofBroker.data);
    else if (webhookSecret.safeParse(line).success) webhookSecrets.push(line);
    else
      throw invalid(`line ${index + 1} of ${file} should be whsec_… or source=whsec_…, with 24 to 64 bytes in base64`);
  }
  if (webhookSecrets.length + brokerSecrets.length === 0) {
    throw invalid(`${file} holds no secret: nothing that a broker sends could be believed`);
  }
  return { webhookSecrets, brokerSecrets, without };
}

/** Who has a secret before and none after, without its being said that this is meant. */
export function lostSecrets(before: ListedSecrets, after: ListedSecrets): readonly string[] {
  const remaining = new Set([...ownersOf(after), ...(after.without ?? [])]);
  return [...ownersOf(before)].filter((owner) => !remaining.has(owner));
}

function ownersOf({ webhookSecrets, brokerSecrets }: ListedSecrets): Set<string> {
  return new Set([...(webhookSecrets.length > 0 ? [forAllBrokers] : []), ...brokerSecrets.map(({ source }) => source)]);
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
