import { dayNames, type Phase, type Schedule } from './pool-policy';
import { steadyClock } from './time-zone';

/** From one instant (epoch ms) to another one phase holds, or none. */
export interface Period {
  readonly phase: Phase | null;
  readonly fromMs: number;
  readonly untilMs: number;
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** 1970-01-01 was a Thursday. */
const firstWeekday = dayNames.indexOf('thu');

/**
 * The periods from an instant on, without end. Two that follow each other may have the same phase. A day has at most as many as
 * its phases have edges, and one more where the clock is set.
 * @throws RangeError for a time zone that does not exist
 */
export function* periodsFrom(schedule: Schedule, atMs: number): Generator<Period, never> {
  const calendar = calendarOf(schedule);
  for (let fromMs = atMs; ;) {
    const { offsetMs, untilMs: setMs } = steadyClock(schedule.timeZone, fromMs);
    const { phase, forMs } = calendar.at(fromMs + offsetMs);
    // Where the clock is set it does not come to the edge that it would have come to.
    const untilMs = Math.min(fromMs + forMs, setMs);
    yield { phase, fromMs, untilMs };
    fromMs = untilMs;
  }
}

interface TimedPhase {
  readonly phase: Phase;
  readonly fromMs: number;
  readonly toMs: number;
  /** The bit of each of its days, at the place of the day's name. */
  readonly days: number;
}

/** A schedule, made ready to be asked by what the clock on the wall shows. */
class Calendar {
  private readonly phases: readonly TimedPhase[];
  /** Days since 1970-01-01. */
  private readonly holidays: ReadonlySet<number>;

  constructor({ holidays = [], phases }: Schedule) {
    this.holidays = new Set(holidays.map(dayOfDate));
    this.phases = phases.map((phase) => ({
      phase,
      fromMs: msOfDay(phase.from),
      toMs: msOfDay(phase.to),
      days: phase.days.reduce((bits, day) => bits | (1 << dayNames.indexOf(day)), 0),
    }));
  }

  /** The phase that holds at this time, and for how long at least no other one begins if the clock is not set meanwhile. */
  at(localMs: number): { phase: Phase | null; forMs: number } {
    const day = Math.floor(localMs / dayMs);
    const nowMs = localMs - day * dayMs;
    const [today, before] = [this.bitOf(day), this.bitOf(day - 1)];
    let held: Phase | null = null;
    let edgeMs = dayMs;
    for (const { phase, fromMs, toMs, days } of this.phases) {
      if (fromMs > nowMs && fromMs < edgeMs) edgeMs = fromMs;
      if (toMs > nowMs && toMs < edgeMs) edgeMs = toMs;
      if (held !== null) continue;
      const [begun, overnight] = [nowMs >= fromMs, toMs < fromMs];
      const holds =
        ((days & today) !== 0 && begun && (overnight || nowMs < toMs)) ||
        ((days & before) !== 0 && overnight && nowMs < toMs);
      if (holds) held = phase;
    }
    return { phase: held, forMs: edgeMs - nowMs };
  }

  private bitOf(day: number): number {
    return 1 << (this.holidays.has(day) ? dayNames.indexOf('holiday') : (((day + firstWeekday) % 7) + 7) % 7);
  }
}

const calendars = new WeakMap<Schedule, Calendar>();

function calendarOf(schedule: Schedule): Calendar {
  let calendar = calendars.get(schedule);
  if (calendar === undefined) calendars.set(schedule, (calendar = new Calendar(schedule)));
  return calendar;
}

/** @param date `YYYY-MM-DD` */
function dayOfDate(date: string): number {
  return Date.UTC(numberIn(date, 0, 4), numberIn(date, 5, 7) - 1, numberIn(date, 8, 10)) / dayMs;
}

/** @param time `HH:MM` */
function msOfDay(time: string): number {
  return (numberIn(time, 0, 2) * 60 + numberIn(time, 3, 5)) * minuteMs;
}

/** The decimal number from one place of a text to another. */
function numberIn(text: string, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at += 1) number = number * 10 + text.charCodeAt(at) - 48;
  return number;
}
