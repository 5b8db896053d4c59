import { DormouseError } from '@dormouse/errors';
import { isEnding } from '@dormouse/session';
import { desktopKey } from '@dormouse/text';
import type { Delivery, Receipt } from './commands';
import { desktopUnknown } from './loaded-desktop';
import {
  isOfDesktop,
  receiveForBroker,
  receiveForDesktops,
  receiveForNobody,
  type DesktopDelivery,
} from './receive-events';
import type { Transactions } from './transactions';

interface Arrival {
  readonly delivery: DesktopDelivery;
  readonly answer: (receipt: Receipt) => void;
  readonly refuse: (error: unknown) => void;
}

/** How many are stored in one transaction at most. */
const mostTogether = 100;
/** So many wait for no transaction to end, but begin another one beside it: while one syncs, the other is thought about. */
const enoughForAnother = 8;
const mostTransactions = 2;

/**
 * Takes events as they come, and stores together those that have come while the ones before them were being stored: the more
 * come, the less each costs. None waits for company, and each is answered when it is durable.
 *
 * There are two lanes. The first waits for nobody: events of desktops whose row somebody holds go over to the second, which does
 * wait for them. So a desktop that is held up holds up no other.
 */
export class EventIntake {
  private readonly straightOn: Lane;
  private readonly patient: Lane;

  constructor(private readonly transactions: Transactions) {
    const store = (held: 'wait' | 'leave out') => (deliveries: readonly DesktopDelivery[]) =>
      receiveForDesktops(transactions, deliveries, held);
    this.straightOn = new Lane(store('leave out'), (arrival) => this.patient.take(arrival));
    this.patient = new Lane(store('wait'), (arrival) => this.isOfNobody(arrival));
  }

  /** @throws DESKTOP_UNKNOWN for an event that asks for something, WEBHOOK_ID_REUSED, EVENT_ID_REUSED; then nothing is stored */
  receive(delivery: Delivery): Promise<Receipt> {
    if (!isOfDesktop(delivery)) return receiveForBroker(this.transactions, delivery);
    return new Promise((answer, refuse) => this.straightOn.take({ delivery, answer, refuse }));
  }

  private isOfNobody({ delivery, answer, refuse }: Arrival): void {
    if (!isEnding(delivery.event)) return refuse(desktopUnknown(delivery.event.desktopId));
    void receiveForNobody(this.transactions, delivery).then(answer, refuse);
  }
}

/** Begins a transaction with all that have come since the last. Those of one desktop are never in two of them at a time. */
class Lane {
  private waiting: Arrival[] = [];
  private readonly underWay = new Set<string>();
  private transactions = 0;

  constructor(
    private readonly store: (
      deliveries: readonly DesktopDelivery[],
    ) => Promise<readonly (Receipt | DormouseError | null)[]>,
    /** What becomes of one that was not stored. */
    private readonly passOn: (arrival: Arrival) => void,
  ) {}

  take(arrival: Arrival): void {
    this.waiting.push(arrival);
    this.begin();
  }

  private begin(): void {
    if (this.transactions >= mostTransactions) return;
    if (this.transactions > 0 && this.waiting.length < enoughForAnother) return;
    const together = this.waiting.filter(({ delivery }) => !this.underWay.has(desktopKey(delivery.event.desktopId)));
    together.splice(mostTogether);
    if (together.length > 0) void this.work(together);
  }

  /** Never throws: what goes wrong is answered to those whom it concerns. */
  private async work(together: readonly Arrival[]): Promise<void> {
    const taken = new Set(together);
    this.waiting = this.waiting.filter((arrival) => !taken.has(arrival));
    const keys = new Set(together.map(({ delivery }) => desktopKey(delivery.event.desktopId)));
    for (const key of keys) this.underWay.add(key);
    this.transactions += 1;
    try {
      await this.storeAndAnswer(together);
    } catch {
      // One of them cannot be stored, or nothing can: each hears its own reason.
      for (const one of together) await this.storeAndAnswer([one]).catch(one.refuse);
    }
    this.transactions -= 1;
    for (const key of keys) this.underWay.delete(key);
    this.begin();
  }

  private async storeAndAnswer(arrivals: readonly Arrival[]): Promise<void> {
    const receipts = await this.store(arrivals.map(({ delivery }) => delivery));
    arrivals.forEach((arrival, index) => {
      const receipt = receipts[index];
      if (receipt instanceof DormouseError) arrival.refuse(receipt);
      else if (receipt) arrival.answer(receipt);
      else this.passOn(arrival);
    });
  }
}
