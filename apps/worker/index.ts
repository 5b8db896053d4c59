/**
 * The worker: takes one host's jobs and does to its machines what the ledger has decided. Keeps no state that a restart
 * would lose; decides nothing about sessions.
 */
export { startWorker, type RunningWorker, type WorkerOptions } from './start-worker';
