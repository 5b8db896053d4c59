import type { RateLimit } from '@dormouse/config';

export type { RateLimit };

export type Turn =
  | { readonly granted: true; readonly spentUntilUs: number }
  | { readonly granted: false; readonly retryAfterMs: number };

/**
 * GCRA, the leaky bucket of ATM (ITU-T I.371): all that is remembered of a subject is the moment until which its turns are
 * spent. Each turn spends 1 s / `perSecond`, in whole microseconds, and `burst` of them may be spent ahead.
 * @param spentUntilUs as the turn before has left it, 0 at first; microseconds since 1970, as `nowUs`
 */
export function takeTurn(spentUntilUs: number, nowUs: number, { perSecond, burst }: RateLimit): Turn {
  const turnUs = Math.round(1e6 / perSecond);
  const spent = Math.max(spentUntilUs, nowUs);
  const aheadUs = spent - nowUs - (burst - 1) * turnUs;
  if (aheadUs > 0) return { granted: false, retryAfterMs: Math.ceil(aheadUs / 1000) };
  return { granted: true, spentUntilUs: spent + turnUs };
}

/**
 * `takeTurn` for Redis, whose clock it goes by: all processes agree, whatever their own clocks say. Answers the milliseconds
 * to wait, 0 for a turn. A key lives for as long as something is spent.
 */
export const takeTurnScript = `
local turn = math.floor(1e6 / tonumber(ARGV[1]) + 0.5)
local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]
local spent = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local ahead = spent - now - (tonumber(ARGV[2]) - 1) * turn
if ahead > 0 then return math.ceil(ahead / 1000) end
redis.call('SET', KEYS[1], string.format('%.0f', spent + turn), 'PX', math.ceil((spent + turn - now) / 1000) + 1)
return 0`;
