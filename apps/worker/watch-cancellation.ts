import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '@dormouse/session';
import type { Fence, SessionLedger } from '@dormouse/ledger';
import type { Logger } from '@dormouse/observability';

/** How soon a returning user's wish reaches a save under way. */
const lookEveryMs = 100;
/** Looking costs the database next to nothing; what is written has to be cleared away again. */
const tellEveryMs = 500;

export interface CancellationWatch {
  readonly signal: AbortSignal;
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
  let looking = false;
  let failing = false;
  let told: { facts: JsonObject; atMs: number } | null = null;
  const look = async (): Promise<boolean> => {
    const news = facts();
    const nowMs = performance.now();
    const isDue = told === null || (nowMs - told.atMs >= tellEveryMs && !isDeepStrictEqual(news, told.facts));
    if (news === null || !isDue) return ledger.goesOn(fence);
    told = { facts: news, atMs: nowMs };
    return ledger.progress(fence, news);
  };
  const lookOnce = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    try {
      if (!(await look())) controller.abort();
      failing = false;
    } catch (error) {
      // Told once: a database may be away for minutes.
      if (!failing) logger.warn({ err: error }, 'progress cannot be written; the work goes on, and it is tried again');
      failing = true;
    } finally {
      looking = false;
    }
  };
  const timer = setInterval(() => void lookOnce(), lookEveryMs);
  return { signal: controller.signal, stop: () => clearInterval(timer) };
}
