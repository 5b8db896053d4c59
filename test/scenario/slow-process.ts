import { sendSignal } from './processes';

const runMs = 5;
const pauseMs = 45;

export interface SlowedProcess {
  /** Lets it run as it likes again. */
  atFullSpeed(): void;
  /** Halts it altogether until it is let run again. */
  halt(): void;
}

/** Lets a process run a tenth of the time, so that what takes a moment takes long enough to be interrupted. */
export function slowDown(pid: number): SlowedProcess {
  let timer: NodeJS.Timeout;
  const run = (): void => {
    sendSignal(pid, 'SIGCONT');
    timer = setTimeout(pause, runMs);
  };
  const pause = (): void => {
    sendSignal(pid, 'SIGSTOP');
    timer = setTimeout(run, pauseMs);
  };
  pause();
  return {
    atFullSpeed: () => {
      clearTimeout(timer);
      sendSignal(pid, 'SIGCONT');
    },
    halt: () => {
      clearTimeout(timer);
      sendSignal(pid, 'SIGSTOP');
    },
  };
}
