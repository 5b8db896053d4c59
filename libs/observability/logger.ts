import type { DormouseConfig } from '@dormouse/config';
import pino, { type DestinationStream, type Logger } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { lineSink } from './line-sink';

export type { Logger } from 'pino';

/** What a child logger is bound to: every line of one operation can be found by its id. */
export interface LogSubject {
  readonly operationId?: string;
  readonly desktopId?: string;
  readonly hostId?: string;
  readonly requestId?: string;
}

/** The logger of one process. `destination` defaults to standard output. */
export function createLogger(
  service: string,
  config: Pick<DormouseConfig, 'logLevel' | 'logFormat'>,
  destination: DestinationStream = lineSink(1),
): Logger {
  return pino(
    {
      level: config.logLevel,
      base: { service },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: ['req.headers.authorization', 'req.headers["webhook-signature"]'],
    },
    config.logFormat === 'pretty' ? prettyLines(destination) : destination,
  );
}

/**
 * Turns JSON log lines into lines for people, at once and in this thread: nothing is lost when a process ends.
 * A line that is no JSON passes as it is.
 */
export function prettyLines(destination: DestinationStream): DestinationStream {
  const format = prettyFactory({
    colorize: process.stdout.isTTY && !process.env['NO_COLOR'],
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname,service,req,res,responseTime',
    messageFormat: '{if service}{service}: {end}{msg}',
  });
  return {
    write: (line) => {
      destination.write(format(line) ?? '');
    },
  };
}

/** A logger that says with every line what it is about. */
export function logAbout(logger: Logger, subject: LogSubject): Logger {
  return logger.child(subject);
}
