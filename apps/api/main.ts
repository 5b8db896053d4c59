import { loadConfig, requireServices, usableDirectory } from '@dormouse/config';
import { isDormouseError } from '@dormouse/errors';
import { EventLoopMonitor, collectProcessMetrics, createLogger, createMetrics } from '@dormouse/observability';
import { bearLostOutput, stopPatienceMs, untilStopped } from '@dormouse/process';
import { LiveKeys } from './live-keys';
import { startApi } from './start-api';

async function main(): Promise<void> {
  bearLostOutput();
  const stopped = untilStopped();
  const config = requireServices(loadConfig());
  await usableDirectory(config.dataDir, 'the data directory', 'DATA_DIR');
  const logger = createLogger('api', config);
  const metrics = createMetrics('api');
  collectProcessMetrics(metrics);
  const keys = await LiveKeys.open(config, logger);
  keys.start();
  // A start may hang at something outside; a signal ends it all the same.
  const api = await Promise.race([startApi(config, { keys, logger, metrics }), stopped.then(() => null)]);
  if (api === null) return;
  const monitor = new EventLoopMonitor({ logger, metrics });
  logger.info({ url: api.url }, 'the api listens');
  process.send?.({ ready: true, url: api.url });

  const why = await stopped;
  logger.info({ why }, 'the api stops');
  monitor.stop();
  setTimeout(() => process.exit(1), stopPatienceMs(why)).unref();
  await keys.stop();
  await api.close();
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    // Before there is a logger, and for people: the sentence is enough when the error is one of ours.
    process.stderr.write(`api: ${isDormouseError(error) ? error.message : (error as Error).stack}\n`);
    process.exit(1);
  },
);
