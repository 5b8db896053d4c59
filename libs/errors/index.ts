/**
 * Typed errors with stable codes. Lives here: the error class and the one table of codes.
 * Does not live here: how an error is shown (HTTP problem, log line, CLI text), which is each app's own matter.
 */
export { DormouseError, type ErrorDetails, describeError, isDormouseError } from './dormouse-error';
export { errorCodes, type ErrorCode } from './error-codes';
