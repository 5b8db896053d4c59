import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '@dormouse/errors';
import { answers, fields } from '@dormouse/views';
import { z } from 'zod';

const checkView = z.discriminatedUnion('state', [
  fields({ state: z.literal('up') }),
  fields({ state: z.enum(['degraded', 'down']), reason: z.string().describe('What is wrong, and what to do') }),
]);
export type Check = z.infer<typeof checkView>;

export const readinessView = fields({
  status: z.enum(['ready', 'not ready']),
  checks: z.record(z.string(), checkView).readonly(),
}).register(answers, { id: 'Readiness' });
export type Readiness = z.infer<typeof readinessView>;

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
