import { loadConfig } from '@dormouse/config';
import { describeError, isDormouseError } from '@dormouse/errors';
import { createLogger } from '@dormouse/observability';
import { bearLostOutput } from '@dormouse/process';
import { launch, welcome } from './launch';
import { whenAborted } from './when-aborted';

async function main(): Promise<number> {
  bearLostOutput();
  const { stopped, hurry } = signals();
  const config = loadConfig();
  const logger = createLogger('launcher', config);
  const launched = await launch(config, logger, stopped).catch((error: unknown) => {
    if (!stopped.aborted) throw error;
    // Ctrl-C reaches the whole process group: a child that was being started may end by it before it has left the group.
    logger.info(`stopped before it was up: ${describeError(error).message}`);
    return null;
  });
  if (launched === null) return 0;
  if (!stopped.aborted) {
    if (config.logFormat === 'pretty') process.stdout.write(welcome(launched, config));
    else {
      for (const trouble of launched.troubles) logger.error(trouble);
      logger.info({ url: launched.url }, 'Dormouse is up');
    }
  }

  const lost = await Promise.race([launched.lost, whenAborted(stopped)]);
  if (lost !== undefined) logger.error({ err: lost }, `${lost.message}; stopping`);
  else logger.info('stopping; the second Ctrl-C does not wait for desktops to fall asleep');
  // Without its database nothing can be asked of the api.
  await launched.stop(lost === undefined ? hurry : AbortSignal.abort());
  logger.info('stopped');
  return lost === undefined ? 0 : 1;
}

/**
 * The first SIGINT or SIGTERM stops, the second one hurries. A terminal that is closed stops, and never hurries: it sends SIGHUP, its shell
 * often another, and nobody has asked to lose what desktops hold in memory. Started by a program, it also stops when that is gone.
 */
function signals(): { stopped: AbortSignal; hurry: AbortSignal } {
  const [stop, hurry] = [new AbortController(), new AbortController()];
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!stop.signal.aborted) stop.abort();
      else if (signal !== 'SIGHUP') hurry.abort();
    });
  }
  process.once('disconnect', () => stop.abort());
  return { stopped: stop.signal, hurry: hurry.signal };
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`dormouse: ${isDormouseError(error) ? error.message : (error as Error).stack}\n`);
    process.exit(1);
  },
);
