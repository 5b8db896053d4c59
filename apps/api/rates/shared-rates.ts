import type { Logger } from '@dormouse/observability';
import type { Redis } from 'ioredis';
import { takeTurn, takeTurnScript, type RateLimit } from './rate-limit';

/** A Redis that takes longer has something else to do than to count; nobody is to wait for that. */
const patienceMs = 250;
/** For how long it is then not asked, so that one who waits in vain is enough. */
const mistrustMs = 1_000;
/** Subjects that are remembered here at most; those whose turns are all paid back are forgotten first. */
const longestMemory = 10_000;

/**
 * Counts in Redis, so that several api processes give the same result as one. Without Redis each counts by itself: then as
 * many turns are given as there are processes times the limit, and no webhook waits or is lost for want of a counter.
 */
export class SharedRates {
  private readonly spentUntilUs = new Map<string, number>();
  private askAgainAtMs = 0;

  constructor(
    private readonly redis: Redis,
    private readonly logger: Logger,
  ) {}

  /** @returns how many milliseconds to wait before the next try; 0: go on */
  async take(subject: string, limit: RateLimit, turns = 1): Promise<number> {
    if (this.redis.status === 'ready' && performance.now() >= this.askAgainAtMs) {
      try {
        return await this.takeShared(subject, limit, turns);
      } catch (error) {
        this.askAgainAtMs = performance.now() + mistrustMs;
        this.logger.warn({ err: error }, 'Redis did not count in time; this process counts alone for a moment');
      }
    }
    return this.takeHere(subject, limit, turns);
  }

  private async takeShared(subject: string, { perSecond, burst }: RateLimit, turns: number): Promise<number> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${patienceMs} ms`)), patienceMs);
    });
    const counted = this.redis.eval(takeTurnScript, 1, `dormouse:rate:${subject}`, perSecond, burst, turns);
    counted.catch(() => undefined); // too late to be of interest, once the patience is over
    try {
      return Number(await Promise.race([counted, tooLate]));
    } finally {
      clearTimeout(timer);
    }
  }

  private takeHere(subject: string, limit: RateLimit, turns: number): number {
    const nowUs = Math.round(performance.now() * 1000); // which nobody sets back
    const turn = takeTurn(this.spentUntilUs.get(subject) ?? 0, nowUs, limit, turns);
    if (!turn.granted) return turn.retryAfterMs;
    if (this.spentUntilUs.size >= longestMemory) this.forgetPaidBack(nowUs);
    this.spentUntilUs.set(subject, turn.spentUntilUs);
    return 0;
  }

  private forgetPaidBack(nowUs: number): void {
    for (const [subject, spentUntilUs] of this.spentUntilUs) {
      if (spentUntilUs <= nowUs || this.spentUntilUs.size >= longestMemory) this.spentUntilUs.delete(subject);
    }
  }
}
