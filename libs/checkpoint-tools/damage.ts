import { DormouseError, type ErrorCode, type ErrorDetails } from '@dormouse/errors';

/** Where in an object something is wrong; pages are numbered as the page map does. */
export type Where = Readonly<{ offset?: number; page?: number }>;

/** An object that is not what the format says. The message begins with the object's name. */
export function corrupt(object: string, what: string, where: Where = {}, cause?: unknown): DormouseError {
  return damage('CHECKPOINT_CORRUPT', object, what, where, cause);
}

export function unsupported(object: string, what: string): DormouseError {
  return damage('FORMAT_UNSUPPORTED', object, what);
}

export function damage(
  code: ErrorCode,
  object: string,
  what: string,
  where: Where = {},
  cause?: unknown,
): DormouseError {
  const details: ErrorDetails = { object, ...where };
  return new DormouseError(code, `${object}: ${what}`, details, { cause });
}
