import { stat } from 'node:fs/promises';
import { forAllBrokers, loadKeys, lostSecrets, type DormouseConfig, type Keys } from '@dormouse/config';
import { describeError } from '@dormouse/errors';
import { Sweep } from '@dormouse/jobs';
import type { Logger } from '@dormouse/observability';

const lookEveryMs = 1_000;

/**
 * Keys that are read again when `WEBHOOK_SECRETS_FILE` changes, so that a secret is replaced without a restart and without an event
 * lost: add the new one, have the broker sign with it, take the old one away.
 *
 * All stays as it was while the file cannot be read, while it is being written (it has to be the same at two looks in a row), and when a
 * broker would lose its last secret: others' would speak for it then, or nobody's. That has to be said in the file, or the file written
 * once more as it is.
 */
export class LiveKeys implements Keys {
  private readonly sweep: Sweep;
  /** The version that was read last, and the one that the last look has found. */
  private read: string | null = null;
  private found: string | null = null;
  /** What a version was refused for: the same once more is meant. */
  private refused: string | null = null;

  private constructor(
    private readonly config: DormouseConfig,
    private readonly logger: Logger,
    private current: Keys,
  ) {
    this.sweep = new Sweep({
      name: 'look at the webhook secrets',
      everyMs: lookEveryMs,
      work: () => this.look(),
      log: logger,
    });
  }

  /** @throws CONFIG_INVALID when the file is not as it should be: at the start nothing is there that could stay */
  static async open(config: DormouseConfig, logger: Logger): Promise<LiveKeys> {
    const before = await versionOf(config);
    const keys = new LiveKeys(config, logger, await loadKeys(config));
    keys.read = keys.found = before;
    return keys;
  }

  get adminKey(): string {
    return this.current.adminKey;
  }

  get webhookSecrets(): Keys['webhookSecrets'] {
    return this.current.webhookSecrets;
  }

  get brokerSecrets(): Keys['brokerSecrets'] {
    return this.current.brokerSecrets;
  }

  start(): void {
    if (this.config.webhookSecretsFile !== null) this.sweep.start();
  }

  stop(): Promise<void> {
    return this.sweep.stop();
  }

  private async look(): Promise<void> {
    const version = await versionOf(this.config);
    const isSettled = version === this.found;
    this.found = version;
    if (!isSettled || version === this.read) return;
    this.read = version; // what is wrong is said once for each change
    try {
      this.take(await loadKeys(this.config));
    } catch (error) {
      const { message } = describeError(error);
      this.logger.error(
        { err: error },
        `the webhook secrets have changed and cannot be read; the old ones stay: ${message}`,
      );
    }
  }

  private take(keys: Keys): void {
    const lost = lostSecrets(this.current, keys);
    const given = JSON.stringify(keys);
    if (lost.length > 0 && this.refused !== given) {
      this.refused = given;
      this.logger.error(
        { lost: lost.map(inWords) },
        `the webhook secrets have changed, and the last secret of ${lost.map(inWords).join(', ')} is missing; the old ones stay. ` +
          `If that is meant, write ${lost.map((owner) => (owner === forAllBrokers ? 'none' : `${owner}=none`)).join(', ')} ` +
          'on a line of its own, or save the file once more as it is',
      );
      return;
    }
    this.refused = null;
    this.current = keys;
    const brokers = this.brokerSecrets.map(({ source }) => source);
    this.logger.info(
      { forAllBrokers: this.webhookSecrets.length, forOne: brokers },
      'the webhook secrets have changed and were read again',
    );
  }
}

function inWords(owner: string): string {
  return owner === forAllBrokers ? 'all brokers' : owner;
}

/** Another one after each change, also when another file takes its place; null when there is none. */
async function versionOf({ webhookSecretsFile }: DormouseConfig): Promise<string | null> {
  if (webhookSecretsFile === null) return null;
  try {
    const { ino, size, mtimeNs } = await stat(webhookSecretsFile, { bigint: true });
    return `${ino}/${size}/${mtimeNs}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
