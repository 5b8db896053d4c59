import { setTimeout as sleep } from 'node:timers/promises';
import { isDormouseError } from '@dormouse/errors';
import type { GuestClient } from '../guest';

const pauseMs = 10;
const patienceMs = 60_000;

export interface GuestWatch {
  /** The longest it has left a question unanswered after `sinceMs` (of `performance.now()`). */
  longestSilenceMs(sinceMs?: number): number;
  /** Ends the questions; resolves when the last one is answered, or the machine has gone. */
  stop(): Promise<void>;
}

/** Asks the guest all the time, to notice when it stands still. Ends by itself when the machine goes. */
export function watchGuest(guest: GuestClient): GuestWatch {
  const silences: { askedMs: number; answeredMs: number | null }[] = [];
  let stopped = false;
  const watching = (async (): Promise<void> => {
    while (!stopped) {
      const silence = { askedMs: performance.now(), answeredMs: null as number | null };
      silences.push(silence);
      await guest.ping({ timeoutMs: patienceMs });
      silence.answeredMs = performance.now();
      await sleep(pauseMs);
    }
  })().catch((error: unknown) => {
    if (!isDormouseError(error, 'MACHINE_GONE')) throw error;
    silences.pop(); // it was put to sleep, which is no silence
  });
  watching.catch(() => undefined); // told by `stop`
  return {
    longestSilenceMs: (sinceMs = 0) =>
      silences.reduce((longest, { askedMs, answeredMs }) => {
        const until = answeredMs ?? performance.now();
        return Math.max(longest, until - Math.max(askedMs, sinceMs));
      }, 0),
    stop: async () => {
      stopped = true;
      await watching;
    },
  };
}
