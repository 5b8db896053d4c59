import { DormouseError } from '@dormouse/errors';

/** Of the system, and of Postgres (its appendix A): what says that the server cannot be used now, whatever was asked. */
const codes = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH'],
  ...['08000', '08001', '08003', '08006', '25P03', '53300', '57014', '57P01', '57P02', '57P03'],
]);
/** The driver gives its own errors no code, nor does TypeORM when the server has ended a connection in the middle of a transaction. */
const messages = /timeout|terminated|not queryable|client was closed|connection is closed|already released/i;

/** What was thrown as SERVICE_UNAVAILABLE, when it was Postgres that is away, hangs or took too long; null when it is something else. */
export function postgresAway(error: unknown): DormouseError | null {
  if (typeof error !== 'object' || error === null) return null;
  const { driverError = error } = error as { driverError?: unknown };
  const { code, message, syscall } = driverError as { code?: unknown; message?: unknown; syscall?: unknown };
  const isAway =
    typeof code === 'string'
      ? codes.has(code) || (code === 'ENOENT' && syscall === 'connect')
      : messages.test(String(message));
  if (!isAway) return null;
  const sentence = 'Postgres does not answer; try again shortly, and see /readyz';
  return new DormouseError('SERVICE_UNAVAILABLE', sentence, {}, { cause: error });
}
