import { DormouseError, errorCodes, type ErrorCode, type ErrorDetails } from '@dormouse/errors';
import { textOf, type Answered } from './reach';

const described = new Set(['type', 'title', 'status', 'detail', 'code', 'instance']);

/** Makes of an answer that is a problem (RFC 9457) the error it was made from. */
export async function errorOf(answer: Answered): Promise<DormouseError> {
  const body = parsed(await textOf(answer));
  if (typeof body !== 'object' || body === null || !('code' in body)) {
    return new DormouseError(
      'SERVICE_UNAVAILABLE',
      `${answer.url} answered ${answer.status}, and not as a Dormouse does`,
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

/** Null for what is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy's page, which the caller tells from a problem
  }
}
