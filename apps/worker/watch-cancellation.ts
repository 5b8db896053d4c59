import type { JsonObject } from '@dormouse/session';
import type { Fence, SessionLedger } from '@dormouse/ledger';
import type { Logger } from '@dormouse/observability';

/** How soon a returning user's wish reaches a save under way. */
const lookEveryMs = 100;

export interface CancellationWatch {
  readonly signal: AbortSignal;
  stop(): void;
}

/** Writes an operation's progress and looks whether it is to be given up; `signal` says so. */
export function watchCancellation(
  ledger: Pick<SessionLedger, 'progress'>,
  fence: Fence,
  facts: () => JsonObject,
  logger: Logger,
): CancellationWatch {
  const controller = new AbortController();
  let looking = false;
  let failing = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    try {
      if (!(await ledger.progress(fence, facts()))) controller.abort();
      failing = false;
    } catch (error) {
      // Told once: a database may be away for minutes.
      if (!failing) logger.warn({ err: error }, 'progress cannot be written; the work goes on, and it is tried again');
      failing = true;
    } finally {
      looking = false;
    }
  };
  const timer = setInterval(() => void look(), lookEveryMs);
  return { signal: controller.signal, stop: () => clearInterval(timer) };
}
