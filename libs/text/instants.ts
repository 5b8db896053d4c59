const rfc3339 =
  /^(?<year>\d{4})-(?<month>\d\d)-(?<day>\d\d)[Tt ](?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)(?<fraction>\.\d{1,30})?(?<zone>[Zz]|[+-]\d\d:\d\d)$/;

const minuteMs = 60_000;

export const instantInWords = 'a time like 2030-01-31T18:00:00Z (RFC 3339, with its time zone), from the year 1970 on';

/**
 * The moment that a text names, in whole milliseconds; null when it names none. Only RFC 3339: other forms of ISO 8601, and what
 * JavaScript makes of words, mean another moment than their writer had in mind, or none. A leap second is the one after it.
 */
export function parseInstant(text: string): Date | null {
  const fields = rfc3339.exec(text)?.groups;
  if (fields === undefined) return null;
  const [year, month, day, hour, minute, second] = ['year', 'month', 'day', 'hour', 'minute', 'second'].map((name) =>
    Number(fields[name]),
  ) as [number, number, number, number, number, number];
  if (hour > 23 || minute > 59 || second > 60) return null;
  const midnight = new Date(Date.UTC(year, month - 1, day));
  if (midnight.getUTCMonth() !== month - 1 || midnight.getUTCDate() !== day) return null; // no such day
  const offsetMs = offsetOf(fields['zone']!);
  if (offsetMs === null) return null;
  const milliseconds = Math.floor(Number(`0${fields['fraction'] ?? ''}`) * 1000);
  const at = midnight.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 + milliseconds - offsetMs;
  return year < 1970 || at < 0 ? null : new Date(at);
}

function offsetOf(zone: string): number | null {
  if (zone === 'Z' || zone === 'z') return 0;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(4))];
  if (hours > 23 || minutes > 59) return null;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * minuteMs;
}
