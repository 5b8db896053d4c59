import { DormouseError, errorCodes, type ErrorCode, type ErrorDetails } from '@dormouse/errors';
import { limits, timedOut } from '@dormouse/limits';

const described = new Set(['type', 'title', 'status', 'detail', 'code', 'instance']);

/** Makes of an answer that is a problem (RFC 9457) the error it was made from. */
export async function errorOf(response: Response): Promise<DormouseError> {
  const body: unknown = await response.json().catch(() => null);
  if (typeof body !== 'object' || body === null || !('code' in body)) {
    return new DormouseError(
      'SERVICE_UNAVAILABLE',
      `${response.url} answered ${response.status}, and not as a Dormouse does`,
    );
  }
  const { code, detail } = body as { code: unknown; detail?: unknown };
  const known: ErrorCode = typeof code === 'string' && code in errorCodes ? (code as ErrorCode) : 'INTERNAL';
  const details = Object.fromEntries(Object.entries(body).filter(([name]) => !described.has(name)));
  return new DormouseError(
    known,
    typeof detail === 'string' ? detail : errorCodes[known].title,
    details as ErrorDetails,
  );
}

/** A fetch whose failure says what it means: nobody is there. */
export async function reach(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(limits.apiAnswer.ms) });
  } catch (cause) {
    if ((cause as Error).name === 'TimeoutError') throw timedOut('apiAnswer', new URL(url).origin);
    throw new DormouseError(
      'SERVICE_UNAVAILABLE',
      `nothing answers at ${new URL(url).origin}. Start Dormouse with \`npm start\`, or set DORMOUSE_URL.`,
      {},
      { cause },
    );
  }
}
