import { DormouseError } from '@dormouse/errors';

/** The error for a source's stream that is not what the layout says. */
export function malformed(what: string): DormouseError {
  return new DormouseError('STREAM_MALFORMED', `the migration stream cannot be read: ${what}`);
}
