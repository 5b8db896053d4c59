import { stat } from 'node:fs/promises';
import { loadKeys, type DormouseConfig, type Keys } from '@dormouse/config';
import { describeError } from '@dormouse/errors';
import { Sweep } from '@dormouse/jobs';
import type { Logger } from '@dormouse/observability';

const lookEveryMs = 1_000;

/**
 * Keys that are read again when `WEBHOOK_SECRETS_FILE` changes, so that a secret is replaced without a restart and without an event
 * lost: add the new one, have the broker sign with it, take the old one away. What cannot be read leaves all as it was.
 */
export class LiveKeys implements Keys {
  private readonly sweep: Sweep;
  private seen: string | null = null;

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
    keys.seen = before;
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
    if (version === this.seen) return;
    this.seen = version; // what is wrong is said once for each change
    try {
      this.current = await loadKeys(this.config);
      const brokers = this.brokerSecrets.map(({ source }) => source);
      this.logger.info(
        { forAllBrokers: this.webhookSecrets.length, forOne: brokers },
        'the webhook secrets have changed and were read again',
      );
    } catch (error) {
      const { message } = describeError(error);
      this.logger.error(
        { err: error },
        `the webhook secrets have changed and cannot be read; the old ones stay: ${message}`,
      );
    }
  }
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
