/**
 * The HTTP face: webhooks of brokers, the admin API, health. It verifies, lets the ledger decide, answers.
 * Does not live here: decisions (libs/session), their storing (libs/ledger), and anything that touches a machine (apps/worker).
 */
export { LiveKeys } from './live-keys';
export { startApi, type RunningApi } from './start-api';
