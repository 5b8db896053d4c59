import type { RateLimit } from '@dormouse/config';

export type { RateLimit };

export type Turn =
  | { readonly granted: true; readonly spentUntilUs: number }
  | { readonly granted: false; readonly retryAfterMs: number };

/** A clock that is set back by less is waited for. */
const unnoticedUs = 1e6;

/**
 * GCRA, the leaky bucket of ATM (ITU-T I.371): all that is remembered of a subject is the moment until which its turns are
 * spent. Each turn spends 1 s / `perSecond`, in whole microseconds, and `burst` of them may be spent ahead. More than a burst is
 * never spent ahead: what says so was written before the clock was set back, and counting begins anew.
 * @param spentUntilUs as the turn before has left it, 0 at first; microseconds of the same clock as `nowUs`
 * @param turns how many are taken together; more than a burst are a burst
 */
export function takeTurn(spentUntilUs: number, nowUs: number, { perSecond, burst }: RateLimit, turns = 1): Turn {
  const turnUs = Math.round(1e6 / perSecond);
  const taken = Math.min(turns, burst);
  const isPossible = spentUntilUs <= nowUs + burst * turnUs + unnoticedUs;
  const spent = isPossible ? Math.max(spentUntilUs, nowUs) : nowUs;
  const aheadUs = spent - nowUs - (burst - taken) * turnUs;
  if (aheadUs > 0) return { granted: false, retryAfterMs: Math.ceil(aheadUs / 1000) };
  return { granted: true, spentUntilUs: spent + taken * turnUs };
}

/**
 * `takeTurn` for Redis, whose clock it goes by: all processes agree, whatever their own clocks say. Answers the milliseconds
 * to wait, 0 for a turn. A key lives for as long as something is spent.
 */
export const takeTurnScript = `
local turn = math.floor(1e6 / tonumber(ARGV[1]) + 0.5)
local burst = tonumber(ARGV[2])
local taken = math.min(tonumber(ARGV[3]), burst)
local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]
local spent = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if spent > now + burst * turn + ${unnoticedUs} then spent = now end
local ahead = spent - now - (burst - taken) * turn
if ahead > 0 then return math.ceil(ahead / 1000) end
spent = spent + taken * turn
redis.call('SET', KEYS[1], string.format('%.0f', spent), 'PX', math.ceil((spent - now) / 1000) + 1)
return 0`;
