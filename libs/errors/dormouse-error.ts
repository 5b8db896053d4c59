import { errorCodes, type ErrorCode } from './error-codes';

/** Facts that go with an error: the object's name, the desktop's id, what was expected. JSON values only. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/**
 * An error with a stable code. `message` says what happened and, where there is one, what to do next;
 * it is written for the person who reads it at nine in the morning.
 */
export class DormouseError extends Error {
  override readonly name = 'DormouseError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  get status(): number {
    return errorCodes[this.code].status;
  }

  toJSON(): { code: ErrorCode; message: string; details: ErrorDetails } {
    return { code: this.code, message: this.message, details: this.details };
  }
}

export function isDormouseError(error: unknown, code?: ErrorCode): error is DormouseError {
  return error instanceof DormouseError && (code === undefined || error.code === code);
}

/** Code and message of anything that was thrown; what is not ours is INTERNAL. */
export function describeError(error: unknown): { code: ErrorCode; message: string; details: ErrorDetails } {
  if (error instanceof DormouseError) return error.toJSON();
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error), details: {} };
}
