import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { LineSocket } from './line-socket';

/** How long to wait for one answer before asking again. A guest that is still faulting its agent in is slow, not dead. */
const askAgainMs = 1_000;

/** What a guest's clock may be off after it was set, and how often it is set for that. */
const clockAimMs = 500;
const clockAttempts = 5;

/** So soon an agent says that it will not. */
const refusalMs = 500;

/** A guest may write novels; this goes into errors and logs. */
const longestReason = 200;

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly desc?: unknown } | null;
}

/** The QEMU guest agent on its virtio-serial socket: one question at a time. */
export class GuestAgent {
  private waiting: ((value: Answer | null) => void) | null = null;
  private closed = false;

  private constructor(private readonly socket: LineSocket) {
    socket.onLine((line) => this.read(line));
    socket.onClose(() => {
      this.closed = true;
      this.waiting?.(null);
    });
  }

  /** @throws GUEST_UNRESPONSIVE when its channel takes nobody */
  static async connect(path: string): Promise<GuestAgent> {
    try {
      return new GuestAgent(await LineSocket.open(path));
    } catch (cause) {
      throw new DormouseError('GUEST_UNRESPONSIVE', 'the channel of the guest agent cannot be opened', {}, { cause });
    }
  }

  /**
   * Asks until the agent answers: what was left in its buffers from before a sleep is passed over by a numbered sync.
   * @throws GUEST_UNRESPONSIVE after `patienceMs`
   */
  async synchronise(patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (let attempt = 1; performance.now() < deadline && !this.closed; attempt++) {
      const id = (Date.now() % 1_000_000) * 100 + (attempt % 100);
      const answer = await this.ask('guest-sync', { id }, Math.min(askAgainMs, deadline - performance.now()));
      if (answer?.return === id) return;
      if (answer !== null) await sleep(5); // a late answer to an earlier question
    }
    throw unresponsive();
  }

  /**
   * Sets the guest's clock to the host's and asks for it: between our reading the time and the guest's taking it, an agent
   * that has just woken may have waited for pages of its own. By the second time it has them.
   * @returns how far the guest's clock may be off, in milliseconds: at most what was aimed at, but for a guest that is slow
   * @throws GUEST_UNRESPONSIVE when it does not answer, or says that it cannot and its clock is off
   */
  async setClock(patienceMs: number): Promise<number> {
    const deadline = performance.now() + patienceMs;
    for (let attempt = 1; ; attempt++) {
      const set = await this.ask('guest-set-time', { time: Date.now() * 1_000_000 }, deadline - performance.now());
      const skewMs = await this.clockSkewMs(deadline - performance.now());
      if (skewMs <= clockAimMs) return skewMs;
      if (set?.error !== undefined) throw refusedClock(set, skewMs);
      if (attempt === clockAttempts) return skewMs;
    }
  }

  /**
   * Has the guest write to its file systems again, which somebody has frozen: a backup that was under way when it was put to sleep.
   * While they are frozen the agent does nothing else. An agent that knows of no freezing has nothing to thaw.
   */
  async thawFileSystems(patienceMs: number): Promise<void> {
    const status = await this.ask('guest-fsfreeze-status', {}, patienceMs);
    if (status?.return === 'frozen') await this.ask('guest-fsfreeze-thaw', {}, patienceMs);
  }

  /** The most that the guest's clock can be off: it was read at some time between the question and the answer. */
  private async clockSkewMs(patienceMs: number): Promise<number> {
    const askedMs = Date.now();
    const answer = await this.ask('guest-get-time', {}, patienceMs);
    const answeredMs = Date.now();
    if (typeof answer?.return !== 'number') throw unresponsive();
    const guestMs = answer.return / 1_000_000;
    return Math.round(Math.max(Math.abs(guestMs - askedMs), Math.abs(guestMs - answeredMs)));
  }

  /**
   * Asks the guest to power off. It answers only when it cannot.
   * @throws GUEST_UNRESPONSIVE when it says so
   */
  async shutDown(): Promise<void> {
    const answer = await this.ask('guest-shutdown', { mode: 'powerdown' }, refusalMs);
    if (answer?.error === undefined) return;
    throw new DormouseError('GUEST_UNRESPONSIVE', 'the guest agent refuses to shut the guest down');
  }

  close(): void {
    this.socket.close();
  }

  private ask(execute: string, args: Readonly<Record<string, unknown>>, patienceMs: number): Promise<Answer | null> {
    if (this.closed) return Promise.resolve(null);
    return new Promise((resolve) => {
      const timer = setTimeout(() => answer(null), Math.max(patienceMs, 1));
      const answer = (value: Answer | null): void => {
        clearTimeout(timer);
        this.waiting = null;
        resolve(value);
      };
      this.waiting = answer;
      this.socket.send(JSON.stringify({ execute, arguments: args }));
    });
  }

  private read(line: string): void {
    let answer: unknown;
    try {
      answer = JSON.parse(line.slice(line.lastIndexOf('\xff') + 1));
    } catch {
      return; // half a line from before the guest slept: the next sync finds the beginning again
    }
    // The guest says what it likes: `null` is no answer.
    if (typeof answer === 'object' && answer !== null) this.waiting?.(answer);
  }
}

function unresponsive(): DormouseError {
  return new DormouseError('GUEST_UNRESPONSIVE', 'the guest agent does not answer');
}

function refusedClock({ error }: Answer, skewMs: number): DormouseError {
  const why = typeof error?.desc === 'string' ? error.desc.slice(0, longestReason) : 'it did not say why';
  return new DormouseError(
    'GUEST_UNRESPONSIVE',
    `the guest could not set its clock, which is off by ${skewMs} ms: ${why}`,
  );
}
