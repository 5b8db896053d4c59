/**
 * How processes are watched: structured logs, the metrics they share, and a monitor of the event loop.
 * Does not live here: health checks (each app knows what it depends on) and the audit log (it is data, in Postgres).
 */
export { EventLoopMonitor, type EventLoopMonitorOptions } from './event-loop-monitor';
export { createLogger, logAbout, prettyLines, type LogSubject, type Logger } from './logger';
export { collectProcessMetrics, countStep, createMetrics, type Metrics } from './metrics';
