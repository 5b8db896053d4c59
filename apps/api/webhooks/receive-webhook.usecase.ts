import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Keys } from '@dormouse/config';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { Delivery, SessionLedger } from '@dormouse/ledger';
import type { Acknowledgement, BatchAcknowledgement, BatchItem, DesktopView } from '@dormouse/views';
import type { Metrics } from '@dormouse/observability';
import { machineStates, readBrokerEvent } from '@dormouse/session';
import { Inject, Injectable } from '@nestjs/common';
import { RateGate } from '../access';
import { parseBody } from '../body-parser';
import type { DatabaseClock } from '../database-clock';
import { tokens } from '../dependencies';
import type { BrokerAdapter } from './adapters';
import { inTheirOrder } from './in-their-order';
import { requireSecretOf, verifySignature, type SignedDelivery, type Verified } from './verify-signature';

export interface ReceivedWebhook extends SignedDelivery {
  readonly headers: IncomingHttpHeaders;
}

const nothingToUs: Acknowledgement = { accepted: true, duplicate: false, outcome: 'ignored', desktop: null };

/**
 * Verifies, stores with what follows from it in one transaction, and answers: nothing here waits for a queue or a machine.
 * `onVerified` learns who sent it, as soon as that is certain.
 */
@Injectable()
export class ReceiveWebhook {
  constructor(
    @Inject(tokens.ledger) private readonly ledger: SessionLedger,
    @Inject(tokens.keys) private readonly keys: Keys,
    @Inject(tokens.clock) private readonly clock: Pick<DatabaseClock, 'nowMs'>,
    @Inject(tokens.metrics) private readonly metrics: Metrics,
    @Inject(RateGate) private readonly gate: RateGate,
  ) {}

  /**
   * A message that amounts to several events is answered as the last of them, and a batch event by event. All are read and checked
   * before any is stored. Killed in between, it comes again, and those that were stored are duplicates.
   * @throws SIGNATURE_INVALID, SIGNATURE_STALE, EVENT_MALFORMED, RATE_LIMITED; DESKTOP_UNKNOWN, WEBHOOK_ID_REUSED, EVENT_ID_REUSED,
   * which in a batch are answered with their event
   */
  async execute(
    webhook: ReceivedWebhook,
    adapter: BrokerAdapter,
    onVerified: (source: string) => void,
  ): Promise<Acknowledgement | BatchAcknowledgement> {
    try {
      const { webhookSecrets, brokerSecrets } = this.keys;
      const secrets = [...webhookSecrets, ...brokerSecrets.map(({ secret }) => secret)];
      const verified = verifySignature(webhook, secrets, this.clock.nowMs());
      onVerified('broker');
      const sender = senderOf(verified);
      await this.gate.pass('broker', sender);
      const deliveries = readDeliveries(webhook, adapter, verified.webhookId);
      for (const { event } of deliveries) {
        requireSecretOf(event.source, verified, this.keys);
        onVerified(`broker:${event.source}`);
      }
      if (deliveries.length > 1) await this.gate.pass('broker', sender, deliveries.length - 1);
      if (adapter.answersEach?.(webhook.headers) === true) return await this.receiveEach(deliveries);
      let answer = nothingToUs;
      for (const delivery of deliveries) answer = await this.receive(delivery);
      return answer;
    } catch (error) {
      this.count(error);
      throw error;
    }
  }

  private async receiveEach(deliveries: readonly Delivery[]): Promise<BatchAcknowledgement> {
    const items = await inTheirOrder(deliveries, async (delivery): Promise<BatchItem> => {
      const { id, source } = delivery.event;
      try {
        return { id, source, ...(await this.receive(delivery)) };
      } catch (error) {
        // What fails on our side fails as a whole, and comes again.
        if (!isDormouseError(error) || error.status >= 500) throw error;
        this.count(error);
        return { id, source, accepted: false, error: error.toJSON() };
      }
    });
    return { accepted: items.every(({ accepted }) => accepted), items };
  }

  private async receive(delivery: Delivery): Promise<Acknowledgement> {
    const { event, notes = [] } = delivery;
    const { outcome, desktop } = await this.ledger.receiveEvent(delivery);
    this.metrics.webhooks.inc({ outcome });
    if (outcome !== 'duplicate') this.metrics.decisions.inc({ trigger: event.type, outcome });
    return {
      accepted: true,
      duplicate: outcome === 'duplicate',
      outcome,
      desktop: desktop && { id: desktop.id, machineState: desktop.state, etaMs: await this.etaMs(desktop) },
      ...(notes.length > 0 && { notes }),
    };
  }

  private count(error: unknown): void {
    this.metrics.webhooks.inc({ outcome: isDormouseError(error) ? error.code : 'INTERNAL' });
  }

  /** As earlier ones let expect: the head start of a client that shows a progress bar. */
  private async etaMs({ state, operation }: DesktopView): Promise<number | null> {
    if (machineStates[state].machine === 'live') return 0;
    if (operation === null || (state !== 'restoring' && state !== 'booting')) return null;
    const { eta } = await this.ledger.viewOperation(operation.id);
    return eta?.readyMs ?? null;
  }
}

/** Whose turns are counted: who has signed. What a body says can be invented. */
function senderOf({ secret }: Verified): string {
  return createHash('sha256').update(secret).digest('hex').slice(0, 32);
}

function readDeliveries(
  { body, headers }: ReceivedWebhook,
  adapter: BrokerAdapter,
  webhookId: string,
): readonly Delivery[] {
  let message: unknown;
  try {
    message = parseBody(body);
  } catch (cause) {
    if (!isDormouseError(cause)) throw cause;
    throw new DormouseError('EVENT_MALFORMED', cause.message, { field: 'event' }, { cause });
  }
  const events = adapter.toEvents(message, webhookId, headers);
  const isBatch = adapter.answersEach?.(headers) === true;
  return events.map((given, index) => {
    try {
      return { ...readBrokerEvent(given), webhookId: index === 0 ? webhookId : `${webhookId}#${index + 1}` };
    } catch (error) {
      if (!isBatch || !isDormouseError(error)) throw error;
      throw new DormouseError(error.code, `event ${index + 1} of the batch: ${error.message}`, {
        ...error.details,
        index,
      });
    }
  });
}
