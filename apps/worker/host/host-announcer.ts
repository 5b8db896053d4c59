import type { SessionLedger } from '@dormouse/ledger';
import type { Logger } from '@dormouse/observability';
import type { JsonObject } from '@dormouse/session';

const everyMs = 5_000;

/** Says every few seconds that this host is served. */
export class HostAnnouncer {
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly ledger: Pick<SessionLedger, 'announceHost'>,
    private readonly host: { readonly id: string; readonly capabilities: JsonObject },
    private readonly logger: Logger,
  ) {}

  /** Resolves when it has been said for the first time. */
  async start(): Promise<void> {
    await this.ledger.announceHost(this.host);
    this.timer = setInterval(() => {
      this.ledger.announceHost(this.host).catch((error: unknown) => {
        this.logger.warn({ err: error }, 'the host could not be announced; tried again shortly');
      });
    }, everyMs);
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }
}
