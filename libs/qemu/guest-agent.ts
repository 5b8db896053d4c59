import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { LineSocket } from './line-socket';

/** How long to wait for one answer before asking again. A guest that is still faulting its agent in is slow, not dead. */
const askAgainMs = 1_000;

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

  static async connect(path: string): Promise<GuestAgent> {
    return new GuestAgent(await LineSocket.open(path));
  }

  /**
   * Asks until the agent answers: what was left in its buffers from before a sleep is passed over by a numbered sync.
   * @throws GUEST_UNRESPONSIVE after `patienceMs`
   */
  async synchronise(patienceMs: number): Promise<void> {
    const deadline = Date.now() + patienceMs;
    for (let attempt = 1; Date.now() < deadline && !this.closed; attempt++) {
      const id = (Date.now() % 1_000_000) * 100 + (attempt % 100);
      const answer = await this.ask('guest-sync', { id }, Math.min(askAgainMs, deadline - Date.now()));
      if (answer?.return === id) return;
      if (answer !== null) await sleep(5); // a late answer to an earlier question
    }
    throw unresponsive();
  }

  /** Sets the guest's clock to the host's. @throws GUEST_UNRESPONSIVE */
  async setClock(patienceMs: number): Promise<void> {
    const answer = await this.ask('guest-set-time', { time: Date.now() * 1_000_000 }, patienceMs);
    if (answer === null) throw unresponsive();
    if (answer.error !== undefined) {
      const why = answer.error?.desc;
      const said = typeof why === 'string' ? why.slice(0, longestReason) : 'it did not say why';
      throw new DormouseError('GUEST_UNRESPONSIVE', `the guest could not set its clock: ${said}`);
    }
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
