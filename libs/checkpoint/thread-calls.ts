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

/**
 * Starts a thread that loads its program and waits for `ThreadCalls`: loading takes longer than most of what it is asked.
 * It does not keep the process alive.
 * @param program a compiled file, which calls `answerCalls`
 */
export function startThread(program: string): Worker {
  const thread = new Worker(program, { resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 } });
  thread.unref();
  return thread;
}

/** A thread that answers questions, one after the other. */
export class ThreadCalls<Question, Answer> {
  private readonly waiting = new Map<number, Waiting<Answer>>();
  private next = 0;
  private failure: Error | null = null;

  /** @param setUp what the thread gets before the first question */
  constructor(
    private readonly thread: Worker,
    setUp: unknown,
  ) {
    thread.on('message', ({ number, content }: Numbered<Answer>) => {
      this.waiting.get(number)?.resolve(content);
      this.waiting.delete(number);
    });
    thread.on('error', (error: Error) => this.fail(error));
    thread.unref(); // to listen has taken that back
    thread.postMessage(setUp);
  }

  /** @throws what the thread died of, CANCELLED after `close` */
  ask(content: Question): Promise<Answer> {
    const number = this.next++;
    return new Promise((resolve, reject) => {
      if (this.failure !== null) return reject(this.failure);
      this.waiting.set(number, { resolve, reject });
      this.thread.postMessage({ number, content } satisfies Numbered<Question>);
    });
  }

  async close(): Promise<void> {
    this.fail(new DormouseError('CANCELLED', 'the thread is needed no longer'));
    await this.thread.terminate();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

/** The thread's side. @param prepare makes what answers, from what `ThreadCalls` was given */
export function answerCalls<SetUp, Question, Answer>(prepare: (setUp: SetUp) => (question: Question) => Answer): void {
  const port = parentPort!;
  port.once('message', (setUp: SetUp) => {
    const answer = prepare(setUp);
    port.on('message', ({ number, content }: Numbered<Question>) => {
      port.postMessage({ number, content: answer(content) } satisfies Numbered<Answer>);
    });
  });
}
