import { loadConfig, requireServices } from '@dormouse/config';
import { isDormouseError } from '@dormouse/errors';
import { collectProcessMetrics, createLogger, createMetrics, EventLoopMonitor } from '@dormouse/observability';
import { stopPatienceMs, untilStopped } from '@dormouse/process';
import { startWorker } from './start-worker';

async function main(): Promise<void> {
  process.umask(0o077); // sockets and logs of guests are nobody else's business
  const stopped = untilStopped();
  const config = requireServices(loadConfig());
  const logger = createLogger('worker', config);
  const metrics = createMetrics('worker', { host: config.hostId });
  collectProcessMetrics(metrics);
  const monitor = new EventLoopMonitor({ logger, metrics });
  const worker = await startWorker(config, logger, metrics);
  logger.info({ hostId: config.hostId }, 'the worker takes jobs');
  process.send?.({ ready: true });

  const why = await stopped;
  logger.info({ why }, 'the worker stops; guests and pagers go on');
  monitor.stop();
  setTimeout(() => process.exit(1), stopPatienceMs(why)).unref();
  await worker.stop();
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    // Before there is a logger, and for people: the sentence is enough when the error is one of ours.
    process.stderr.write(`worker: ${isDormouseError(error) ? error.message : (error as Error).stack}\n`);
    process.exit(1);
  },
);
