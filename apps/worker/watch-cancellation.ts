import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '@dormouse/session';
import type { Fence, SessionLedger } from '@dormouse/ledger';
import type { Logger } from '@dormouse/observability';
import { cancelled } from './giving-way';

/** How soon a returning user's wish reaches a save under way. */
const lookEveryMs = 100;
/** Looking costs the database next to nothing; what is written has to be cleared away again. */
const tellEveryMs = 500;

export interface CancellationWatch {
  /** Its reason: CANCELLED. */
  readonly signal: AbortSignal;
  /** Stops, and writes what has not been written yet: it stays so. Never rejects. */
  finish(): Promise<void>;
  stop(): void;
}

/**
 * Looks whether an operation is to be given up, and writes its progress when there is some; `signal` says so.
 * @param facts null while there is nothing to tell
 */
export function watchCancellation(
  ledger: Pick<SessionLedger, 'goesOn' | 'progress'>,
  fence: Fence,
  facts: () => JsonObject | null,
  logger: Logger,
): CancellationWatch {
  const controller = new AbortController();
  let failing = false;
  let told: { facts: JsonObject; atMs: number } | null = null;
  const look = async (tellAfterMs: number): Promise<boolean> => {
    const news = facts();
    const atMs = performance.now();
    const isDue = told === null || (atMs - told.atMs >= tellAfterMs && !isDeepStrictEqual(news, told.facts));
    if (news === null || !isDue) return ledger.goesOn(fence);
    const goesOn = await ledger.progress(fence, news);
    told = { facts: news, atMs };
    return goesOn;
  };
  const lookOnce = async (tellAfterMs: number): Promise<void> => {
    try {
      if (!(await look(tellAfterMs))) controller.abort(cancelled());
      failing = false;
    } catch (error) {
      // Told once: a database may be away for minutes.
      if (!failing) logger.warn({ err: error }, 'progress cannot be written; the work goes on, and it is tried again');
      failing = true;
    }
  };
  let looking: Promise<void> | null = null;
  const timer = setInterval(() => {
    looking ??= lookOnce(tellEveryMs).finally(() => (looking = null));
  }, lookEveryMs);
  const stop = (): void => clearInterval(timer);
  return {
    signal: controller.signal,
    stop,
    finish: async () => {
      stop();
      await looking;
      await lookOnce(0);
    },
  };
}
