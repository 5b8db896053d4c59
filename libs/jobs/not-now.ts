/**
 * Thrown by a handler whose job finds no free slot: it goes back to the front of those of its priority, and this consumer takes
 * no other for `retryMs`. All that wait behind it would find none either.
 */
export class NotNow extends Error {
  constructor(
    readonly retryMs: number,
    cause: unknown,
  ) {
    super('not now', { cause });
  }
}
