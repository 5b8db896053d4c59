import type { DormouseError } from '@dormouse/errors';
import { untilNoProcessIn } from './processes-in';
import type { ServiceProcess } from './service-process';

/** Told in one line what the services do. */
export type ServiceLog = (message: string) => void;

export interface EmbeddedService {
  /** Resolves, with what happened, when the service ends without having been asked to. Never rejects. */
  readonly lost: Promise<DormouseError>;

  /** Ends the service in good order and resolves when none of its processes is left. Safe to call twice. */
  stop(): Promise<void>;
}

/** `release` gives back, when all is over, what the service was started with. */
export function embeddedService(
  service: ServiceProcess,
  workingDirectory: string,
  release: () => void,
): EmbeddedService {
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    try {
      await service.stop();
      // What it forked ends by itself when it had to be killed, a moment later.
      await untilNoProcessIn(workingDirectory);
    } finally {
      release();
    }
  };
  return { lost: service.lost, stop: () => (stopped ??= stop()) };
}
