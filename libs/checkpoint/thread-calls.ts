import { parentPort, Worker } from 'node:worker_threads';
import { DormouseError } from '@dormouse/errors';

interface Waiting<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** A question and, on its way back, an answer; `number` tells whose. */
interface Numbered<Content> {
  readonly number: number;
  readonly content: Content;
}

/** Comes before the first question, and again when the thread goes to other `ThreadCalls`. */
interface SetUpMessage<SetUp = unknown> {
  readonly setUp: SetUp;
}

/** Memory that both sides see from now on; the thread numbers what it gets so, from 0. */
interface SharedMessage {
  readonly shared: SharedArrayBuffer;
}

/** The other side no longer needs what it has shared. */
interface ReleasedMessage {
  readonly released: true;
}

/** Memory that both sides see, by its number. */
export type SharedMemory = (number: number) => Buffer;

/**
 * Starts a thread that loads its program and waits for `ThreadCalls`: loading takes longer than most of what it is asked.
 * Until it is asked something it does not keep the process alive.
 * @param program a compiled file, which calls `answerCalls`
 */
export function startThread(program: string): Worker {
  const thread = new Worker(program, { resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 } });
  thread.unref();
  return thread;
}

/** A thread that answers questions, one after the other. It keeps the process alive for as long as one is open. */
export class ThreadCalls<Question, Answer> {
  private readonly waiting = new Map<number, Waiting<Answer>>();
  private readonly numbers = new WeakMap<SharedArrayBuffer, number>();
  private shared = 0;
  private next = 0;
  private failure: Error | null = null;

  /** @param setUp what the thread gets before the first question */
  constructor(
    private readonly thread: Worker,
    setUp: unknown,
  ) {
    thread.on('message', this.hear);
    thread.on('error', this.fail);
    thread.unref(); // to listen has taken that back
    thread.postMessage({ setUp } satisfies SetUpMessage);
  }

  /** @throws what the thread died of, CANCELLED after `close` */
  ask(content: Question): Promise<Answer> {
    const number = this.next++;
    return new Promise((resolve, reject) => {
      if (this.failure !== null) return reject(this.failure);
      if (this.waiting.size === 0) this.thread.ref();
      this.waiting.set(number, { resolve, reject });
      this.thread.postMessage({ number, content } satisfies Numbered<Question>);
    });
  }

  /**
   * The number by which the thread knows memory that both sides see. It gets each once: whenever it got it anew, its collector
   * would count it as new memory, and soon do little else than to look for what can be freed.
   */
  numberOf(memory: SharedArrayBuffer): number {
    const known = this.numbers.get(memory);
    if (known !== undefined) return known;
    this.thread.postMessage({ shared: memory } satisfies SharedMessage);
    this.numbers.set(memory, this.shared);
    return this.shared++;
  }

  /** Leaves the thread to other `ThreadCalls`. Everything that was asked must have been answered. */
  release(): void {
    this.fail(noLonger());
    this.thread.postMessage({ released: true } satisfies ReleasedMessage);
    this.thread.off('message', this.hear);
    this.thread.off('error', this.fail);
  }

  async close(): Promise<void> {
    this.fail(noLonger());
    await this.thread.terminate();
  }

  private readonly hear = ({ number, content }: Numbered<Answer>): void => {
    this.waiting.get(number)?.resolve(content);
    this.waiting.delete(number);
    if (this.waiting.size === 0) this.thread.unref();
  };

  private readonly fail = (error: Error): void => {
    this.failure ??= error;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
    this.thread.unref();
  };
}

/** The thread's side. @param prepare makes what answers, from what `ThreadCalls` was given */
export function answerCalls<SetUp, Question, Answer>(
  prepare: (setUp: SetUp, memory: SharedMemory) => (question: Question) => Answer,
): void {
  const port = parentPort!;
  const memories: Buffer[] = [];
  let answer: (question: Question) => Answer;
  port.on('message', (message: SetUpMessage<SetUp> | SharedMessage | ReleasedMessage | Numbered<Question>) => {
    if ('setUp' in message) answer = prepare(message.setUp, (number) => memories[number]!);
    else if ('shared' in message) memories.push(Buffer.from(message.shared));
    else if ('released' in message) {
      memories.length = 0;
      globalThis.gc?.(); // little of the heap, and much outside of it
    } else port.postMessage({ number: message.number, content: answer(message.content) } satisfies Numbered<Answer>);
  });
}

function noLonger(): DormouseError {
  return new DormouseError('CANCELLED', 'the thread is needed no longer');
}
