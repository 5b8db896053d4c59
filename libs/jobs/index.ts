/**
 * Work on its way through Redis: payloads, options, outbox dispatcher, consumers, reconciler.
 * Does not live here: what a job means. A job holds ids; the rows in Postgres are the truth, and Redis may be lost.
 */
export { backgroundQueue, hostQueue, jobIdOf, sessionQueue, type JobName } from '@dormouse/ledger';
export { checkEvictionPolicy, connectRedis, redisWasLost, type RedisTarget } from './redis';
export { JobConsumer, type JobConsumerOptions } from './job-consumer';
export { JobHandlers, type JobContext, type JobHandler } from './job-handlers';
export { consumerTimes, jobNames, jobOptions, jobTable, type JobNameOf, type QueueKind } from './job-table';
export type { JobLog } from './log';
export { NotNow } from './not-now';
export { OutboxDispatcher, type OutboxDispatcherOptions } from './outbox-dispatcher';
export { jobPayloads, type JobPayload } from './payloads';
export { BrokerWatch } from './broker-watch';
export { StormWatch } from './storm-watch';
export { RetentionSweep } from './retention-sweep';
export { Sweep } from './sweep';
export { Reconciler, type ReconcilerOptions } from './reconciler';
