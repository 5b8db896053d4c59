import { Worker } from 'node:worker_threads';
import { DormouseError } from '@dormouse/errors';

interface Waiting<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** A question and, on its way back, an answer; `number` tells whose. */
export interface Numbered<Content> {
  readonly number: number;
  readonly content: Content;
}

/** A thread that answers questions, one after the other. It does not keep the process alive. */
export class ThreadCalls<Question, Answer> {
  private readonly thread: Worker;
  private readonly waiting = new Map<number, Waiting<Answer>>();
  private next = 0;
  private failure: Error | null = null;

  /** @param program a compiled file */
  constructor(program: string, workerData: unknown) {
    this.thread = new Worker(program, {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
    });
    this.thread.on('message', ({ number, content }: Numbered<Answer>) => {
      this.waiting.get(number)?.resolve(content);
      this.waiting.delete(number);
    });
    this.thread.on('error', (error: Error) => this.fail(error));
    this.thread.unref();
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
