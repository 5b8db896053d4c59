import { DormouseError } from '@dormouse/errors';

/** The error for an object whose content is not what was written. */
export function corrupt(object: string, what: string, cause?: unknown): DormouseError {
  return new DormouseError('CHECKPOINT_CORRUPT', `${object} is damaged: ${what}`, { object }, { cause });
}

export function unsupported(object: string, what: string): DormouseError {
  return new DormouseError('FORMAT_UNSUPPORTED', `${object} cannot be read by this version: ${what}`, { object });
}
