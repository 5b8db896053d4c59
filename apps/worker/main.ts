import { loadConfig, requireServices } from '@dormouse/config';
import { isDormouseError } from '@dormouse/errors';
import { collectProcessMetrics, createLogger, createMetrics, EventLoopMonitor } from '@dormouse/observability';
import { bearLostOutput, stopPatienceMs, untilStopped } from '@dormouse/process';
import { startWorker } from './start-worker';

const lostPatienceMs = 8_000;

async function main(): Promise<number> {
  bearLostOutput();
  process.umask(0o077); // sockets and logs of guests are nobody else's business
  const stopped = untilStopped();
  const config = requireServices(loadConfig());
  const logger = createLogger('worker', config);
  const metrics = createMetrics('worker', { host: config.hostId });
  collectProcessMetrics(metrics);
  const monitor = new EventLoopMonitor({ logger, metrics });
  // A start may hang at something outside; a signal ends it all the same. What it has begun ends with this process.
  const worker = await Promise.race([startWorker(config, logger, metrics), stopped.then(() => null)]);
  if (worker === null) return 0;
  logger.info({ hostId: config.hostId }, 'the worker takes jobs');
  process.send?.({ ready: true });

  const why = await Promise.race([stopped, worker.lost]);
  const isLost = typeof why !== 'string';
  if (isLost) logger.fatal({ err: why }, `${why.message}. The worker stops; its guests go on`);
  else logger.info({ why }, 'the worker stops; guests and pagers go on');
  monitor.stop();
  setTimeout(() => process.exit(1), isLost ? lostPatienceMs : stopPatienceMs(why)).unref();
  await worker.stop();
  return isLost ? 1 : 0;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    // Before there is a logger, and for people: the sentence is enough when the error is one of ours.
    process.stderr.write(`worker: ${isDormouseError(error) ? error.message : (error as Error).stack}\n`);
    process.exit(1);
  },
);
