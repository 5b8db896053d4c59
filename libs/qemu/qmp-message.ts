/** What QEMU says on its control socket, one JSON document a line: greeting, answer, refusal or event. */
export interface QmpMessage {
  readonly QMP?: unknown;
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
  readonly data?: Record<string, unknown>;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
}

/** Null for what no QEMU says. */
export function parseMessage(line: string): QmpMessage | null {
  try {
    const value: unknown = JSON.parse(line);
    return isMessage(value) ? value : null;
  } catch {
    return null;
  }
}

function isMessage(value: unknown): value is QmpMessage {
  if (!isObject(value)) return false;
  const { id, error, event, data, timestamp } = value;
  return (
    isA('number', id) &&
    isA('string', event) &&
    (error === undefined || (isObject(error) && isA('string', error['class'], error['desc']))) &&
    (data === undefined || isObject(data)) &&
    (timestamp === undefined || (isObject(timestamp) && isA('number', timestamp['seconds'], timestamp['microseconds'])))
  );
}

/** What is there is of this type. */
function isA(type: 'number' | 'string', ...values: unknown[]): boolean {
  return values.every((value) => value === undefined || typeof value === type);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
