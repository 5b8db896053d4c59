/**
 * How long anything is waited for: one table, and the one helper that ends a wait. Whoever waits for another process, a socket or a
 * service names a row. Knows the rows, not what they are about.
 */
export { limits, type LimitName, type WaitLimit } from './limits';
export { limitOf, timedOut, within } from './within';
