import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '@dormouse/errors';

export type Check = { readonly state: 'up' } | { readonly state: 'down'; readonly reason: string };

export interface Readiness {
  readonly status: 'ready' | 'not ready';
  readonly checks: Readonly<Record<string, Check>>;
}

/** Asks every service at once; one that does not answer within `patienceMs` is down. */
export async function readiness(
  probes: Readonly<Record<string, () => Promise<unknown>>>,
  patienceMs: number,
): Promise<Readiness> {
  const checks = await Promise.all(
    Object.entries(probes).map(async ([name, probe]) => [name, await check(probe, patienceMs)] as const),
  );
  const ready = checks.every(([, { state }]) => state === 'up');
  return { status: ready ? 'ready' : 'not ready', checks: Object.fromEntries(checks) };
}

async function check(probe: () => Promise<unknown>, patienceMs: number): Promise<Check> {
  const answered = new AbortController();
  const silence = sleep(patienceMs, { state: 'down', reason: `no answer within ${patienceMs} ms` } as const, {
    signal: answered.signal,
  }).catch((): Check => ({ state: 'up' })); // aborted: the probe has spoken first, and the race is over
  const answer = probe().then(
    (): Check => ({ state: 'up' }),
    (error: unknown): Check => ({ state: 'down', reason: describeError(error).message }),
  );
  try {
    return await Promise.race([answer, silence]);
  } finally {
    answered.abort();
  }
}
