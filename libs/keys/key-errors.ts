import { DormouseError } from '@dormouse/errors';

/** The keeper of the keys does not answer or cannot be used; trying again may help. */
export function keyUnavailable(message: string, cause?: unknown): DormouseError {
  return new DormouseError('KEY_UNAVAILABLE', message, {}, { cause });
}

/** A wrapped key that its keeper does not accept; trying again does not help. */
export function keyRejected(purpose: string, why: string, cause?: unknown): DormouseError {
  return new DormouseError('KEY_REJECTED', `the key of ${purpose} cannot be unwrapped: ${why}`, { purpose }, { cause });
}
