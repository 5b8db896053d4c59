/** Requests with an `Idempotency-Key`: done once, answered alike as often as they come. */
export { IdempotencyInterceptor, Repeatable } from './idempotency.interceptor';
