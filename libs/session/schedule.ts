import type { GraceTerms } from './pool-policy';

/** `holiday` stands for every date of the list of holidays, whatever weekday it is; such a date is no weekday then. */
export const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'holiday'] as const;
export type DayName = (typeof dayNames)[number];

/** A part of the week with a grace of its own, by the clock on the wall. */
export interface Phase extends GraceTerms {
  readonly name: string;
  readonly days: readonly DayName[];
  /** `HH:MM`. A phase that ends before it begins goes on past midnight and belongs to the day it began on. */
  readonly from: string;
  /** `HH:MM`, up to `24:00`; not part of the phase any more. */
  readonly to: string;
}

export interface Schedule {
  /** IANA name, `Europe/Berlin`. */
  readonly timeZone: string;
  /** `YYYY-MM-DD` in that time zone. */
  readonly holidays?: readonly string[];
  /** The first that holds counts. */
  readonly phases: readonly Phase[];
}

const minuteMs = 60_000;
const quarterMs = 15 * minuteMs;
const dayMs = 24 * 60 * minuteMs;

/** The phase that holds at an instant (epoch ms), if one does. */
export function phaseAt(schedule: Schedule, atMs: number): Phase | null {
  const localMs = wallClock(schedule.timeZone, atMs);
  return schedule.phases.find((phase) => holds(phase, schedule, localMs)) ?? null;
}

/** An instant after `atMs` up to which no other phase begins to hold. */
export function steadyUntil(schedule: Schedule, atMs: number): number {
  const localMs = wallClock(schedule.timeZone, atMs);
  const nowInDay = modulo(localMs, dayMs);
  const edges = schedule.phases.flatMap(({ from, to }) => [msOfDay(from), msOfDay(to)]);
  const aheadMs = Math.min(...[...edges, dayMs].filter((edge) => edge > nowInDay)) - nowInDay;
  const jumps = wallClock(schedule.timeZone, atMs + aheadMs) !== localMs + aheadMs;
  // The clock on the wall is set forward or back before that. It is only ever set at a full quarter of an hour (UTC), so
  // within one of them it can be relied upon.
  return jumps ? Math.min(atMs + aheadMs, (Math.floor(atMs / quarterMs) + 1) * quarterMs) : atMs + aheadMs;
}

function holds({ days, from, to }: Phase, schedule: Schedule, localMs: number): boolean {
  const [fromMs, toMs, nowInDay] = [msOfDay(from), msOfDay(to), modulo(localMs, dayMs)];
  const isDay = (ms: number) => days.includes(dayOf(schedule, ms));
  if (fromMs < toMs) return nowInDay >= fromMs && nowInDay < toMs && isDay(localMs);
  return (nowInDay >= fromMs && isDay(localMs)) || (nowInDay < toMs && isDay(localMs - dayMs));
}

function dayOf({ holidays = [] }: Schedule, localMs: number): DayName {
  const day = new Date(localMs);
  return holidays.includes(day.toISOString().slice(0, 10)) ? 'holiday' : dayNames[day.getUTCDay()]!;
}

function msOfDay(time: string): number {
  const [hours, minutes] = time.split(':').map(Number);
  return (hours! * 60 + minutes!) * minuteMs;
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** What the clock on the wall shows, as if it were UTC. @throws RangeError for a time zone that nobody knows */
export function wallClock(timeZone: string, atMs: number): number {
  let clock = clocks.get(timeZone);
  if (clock === undefined) {
    const fields = { year: 'numeric', month: 'numeric', day: 'numeric' } as const;
    const time = { hour: 'numeric', minute: 'numeric', second: 'numeric', hourCycle: 'h23' } as const;
    clock = new Intl.DateTimeFormat('en-US', { timeZone, ...fields, ...time });
    clocks.set(timeZone, clock);
  }
  const shown = Object.fromEntries(clock.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
  const { year, month, day, hour, minute, second } = shown as Record<string, number>;
  return Date.UTC(year!, month! - 1, day, hour, minute, second) + modulo(atMs, 1_000);
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
