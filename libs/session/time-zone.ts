/** A stretch of time in which the clock on the wall of a time zone is not set: it shows UTC plus `offsetMs`. */
export interface SteadyClock {
  readonly offsetMs: number;
  /** The clock may be set then; it is not before. */
  readonly untilMs: number;
}

const dayMs = 24 * 60 * 60_000;
/** What is looked up at once and remembered. */
const spanMs = 32 * dayMs;
/** More than the time zones there are times the spans of the next months. Beyond that all is looked up again. */
const mostSpans = 4_096;
/** More than the time zones there are, in one spelling each. */
const mostFormats = 1_024;

const spans = new Map<string, readonly SteadyClock[]>();
const formats = new Map<string, Intl.DateTimeFormat>();

/** How the clock on the wall goes at an instant (epoch ms). @throws RangeError for a time zone that does not exist */
export function steadyClock(timeZone: string, atMs: number): SteadyClock {
  const span = Math.floor(atMs / spanMs);
  const key = `${timeZone} ${span}`;
  let clocks = spans.get(key);
  if (clocks === undefined) {
    clocks = clocksIn(timeZone, span * spanMs, (span + 1) * spanMs);
    if (spans.size >= mostSpans) spans.clear();
    spans.set(key, clocks);
  }
  return clocks.find(({ untilMs }) => atMs < untilMs)!;
}

export function isTimeZone(name: string): boolean {
  try {
    formatOf(name);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false; // the answer, not a failure
    throw error;
  }
}

/** Asks for the offset of each day, and only where two days differ for the moment between them. */
function clocksIn(timeZone: string, fromMs: number, toMs: number): SteadyClock[] {
  const clocks: SteadyClock[] = [];
  let offsetMs = offsetAt(timeZone, fromMs);
  for (let dayFromMs = fromMs; dayFromMs < toMs; dayFromMs += dayMs) {
    const next = offsetAt(timeZone, dayFromMs + dayMs);
    if (next === offsetMs) continue;
    clocks.push({ offsetMs, untilMs: firstWithout(offsetMs, timeZone, dayFromMs, dayFromMs + dayMs) });
    offsetMs = next;
  }
  return [...clocks, { offsetMs, untilMs: toMs }];
}

/** Clocks are set at full seconds. */
function firstWithout(offsetMs: number, timeZone: string, fromMs: number, toMs: number): number {
  let [has, lacks] = [fromMs / 1_000, toMs / 1_000];
  while (lacks - has > 1) {
    const middle = Math.floor((has + lacks) / 2);
    if (offsetAt(timeZone, middle * 1_000) === offsetMs) has = middle;
    else lacks = middle;
  }
  return lacks * 1_000;
}

/** @param atMs a full second */
function offsetAt(timeZone: string, atMs: number): number {
  const shown = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
  for (const { type, value } of formatOf(timeZone).formatToParts(atMs)) {
    if (type in shown) shown[type as keyof typeof shown] = Number(value);
  }
  return Date.UTC(shown.year, shown.month - 1, shown.day, shown.hour, shown.minute, shown.second) - atMs;
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format === undefined) {
    const fields = { year: 'numeric', month: 'numeric', day: 'numeric' } as const;
    const time = { hour: 'numeric', minute: 'numeric', second: 'numeric', hourCycle: 'h23' } as const;
    format = new Intl.DateTimeFormat('en-US', { timeZone, ...fields, ...time });
    if (formats.size >= mostFormats) formats.clear();
    formats.set(timeZone, format);
  }
  return format;
}
