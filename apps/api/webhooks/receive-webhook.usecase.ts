import type { Keys } from '@dormouse/config';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { Delivery, DesktopView, Receipt, SessionLedger } from '@dormouse/ledger';
import type { Metrics } from '@dormouse/observability';
import { machineStates, parseBrokerEvent, type BrokerEvent, type MachineState } from '@dormouse/session';
import { Inject, Injectable } from '@nestjs/common';
import { RateGate } from '../access';
import { parseJson } from '../body-parser';
import { tokens } from '../dependencies';
import type { BrokerAdapter } from './adapters';
import { requireSecretOf, verifySignature, type SignedDelivery } from './verify-signature';

export interface Acknowledgement {
  readonly accepted: true;
  /** Seen before under this webhook-id: nothing was done. */
  readonly duplicate: boolean;
  readonly outcome: Receipt['outcome'];
  /** Null for events that speak of the broker and of no desktop. */
  readonly desktop: {
    readonly id: string;
    readonly machineState: MachineState;
    /** Until the desktop answers, in ms: 0 when it does, null when that cannot be told. */
    readonly etaMs: number | null;
  } | null;
}

/**
 * Verifies, stores with what follows from it in one transaction, and answers: nothing here waits for a queue or a machine.
 * `onVerified` learns who sent it, as soon as that is certain.
 */
@Injectable()
export class ReceiveWebhook {
  constructor(
    @Inject(tokens.ledger) private readonly ledger: SessionLedger,
    @Inject(tokens.keys) private readonly keys: Keys,
    @Inject(tokens.metrics) private readonly metrics: Metrics,
    @Inject(RateGate) private readonly gate: RateGate,
  ) {}

  /**
   * A message that amounts to several events is answered as the last of them. Killed in between, it comes again, and those
   * that were stored are duplicates.
   * @throws SIGNATURE_INVALID, SIGNATURE_STALE, EVENT_MALFORMED, RATE_LIMITED, DESKTOP_UNKNOWN
   */
  async execute(
    delivery: SignedDelivery,
    adapter: BrokerAdapter,
    onVerified: (source: string) => void,
  ): Promise<Acknowledgement> {
    try {
      const { webhookSecrets, brokerSecrets } = this.keys;
      const secrets = [...webhookSecrets, ...brokerSecrets.map(({ secret }) => secret)];
      const verified = verifySignature(delivery, secrets, Date.now());
      onVerified('broker');
      const events = readEvents(delivery.body, adapter, verified.webhookId);
      for (const { source } of events) {
        requireSecretOf(source, verified, this.keys);
        onVerified(`broker:${source}`);
        await this.gate.pass('broker', source);
      }
      let answer: Acknowledgement = { accepted: true, duplicate: false, outcome: 'ignored', desktop: null };
      for (const [index, event] of events.entries()) {
        const webhookId = index === 0 ? verified.webhookId : `${verified.webhookId}#${index + 1}`;
        answer = await this.receive({ webhookId, event });
      }
      return answer;
    } catch (error) {
      this.metrics.webhooks.inc({ outcome: isDormouseError(error) ? error.code : 'INTERNAL' });
      throw error;
    }
  }

  private async receive({ webhookId, event }: Delivery): Promise<Acknowledgement> {
    const { outcome, desktop } = await this.ledger.receiveEvent({ webhookId, event });
    this.metrics.webhooks.inc({ outcome });
    if (outcome !== 'duplicate') this.metrics.decisions.inc({ trigger: event.type, outcome });
    return {
      accepted: true,
      duplicate: outcome === 'duplicate',
      outcome,
      desktop: desktop && { id: desktop.id, machineState: desktop.state, etaMs: await this.etaMs(desktop) },
    };
  }

  /** As earlier ones let expect: the head start of a client that shows a progress bar. */
  private async etaMs({ state, operation }: DesktopView): Promise<number | null> {
    if (machineStates[state].machine === 'live') return 0;
    if (operation === null || (state !== 'restoring' && state !== 'booting')) return null;
    const { eta } = await this.ledger.viewOperation(operation.id);
    return eta?.readyMs ?? null;
  }
}

function readEvents(body: Buffer, adapter: BrokerAdapter, webhookId: string): readonly BrokerEvent[] {
  let parsed: unknown;
  try {
    parsed = parseJson(body);
  } catch (cause) {
    if (!isDormouseError(cause)) throw cause;
    throw new DormouseError('EVENT_MALFORMED', cause.message, { field: 'event' }, { cause });
  }
  return adapter.toEvents(parsed, webhookId).map(parseBrokerEvent);
}
