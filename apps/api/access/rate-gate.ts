import type { DormouseConfig } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';
import type { Metrics } from '@dormouse/observability';
import { Inject, Injectable } from '@nestjs/common';
import { tokens } from '../dependencies';
import type { RateLimit, SharedRates } from '../rates';

/** Whose turns are counted: a key by its name, a broker by the secret it signs with, and who shows neither by its address. */
export type CountedKind = 'key' | 'broker' | 'stranger';

/** One who guesses keys or signatures; a person who mistypes is far below. */
const strangers: RateLimit = { perSecond: 5, burst: 200 };

@Injectable()
export class RateGate {
  private readonly limits: Readonly<Record<CountedKind, RateLimit>>;

  constructor(
    @Inject(tokens.rates) private readonly rates: SharedRates,
    @Inject(tokens.rateLimits) { keys, brokers }: DormouseConfig['rateLimits'],
    @Inject(tokens.metrics) private readonly metrics: Metrics,
  ) {
    this.limits = { key: keys, broker: brokers, stranger: strangers };
  }

  /** @throws RATE_LIMITED with `retryAfterS`, which the answer carries as Retry-After too */
  async pass(kind: CountedKind, subject: string, turns = 1): Promise<void> {
    const limit = this.limits[kind];
    const waitMs = await this.rates.take(`${kind}:${subject}`, limit, turns);
    if (waitMs === 0) return;
    this.metrics.rateLimited.inc({ kind });
    const retryAfterS = Math.ceil(waitMs / 1000);
    throw new DormouseError(
      'RATE_LIMITED',
      `more than ${limit.perSecond} a second, and ${limit.burst} at once, from this ${kind}; try again in ${retryAfterS} s`,
      { retryAfterS },
    );
  }
}
