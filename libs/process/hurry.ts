import { getPriority, setPriority } from 'node:os';

/** Of the least that nice(2) has: nine times the share of a processor that others have. */
const urgent = -10;

/**
 * Has this process's main thread go before whatever else wants a processor. Threads that are there already keep their priority; to
 * Linux each has one of its own (setpriority(2), NOTES). Where that is not allowed (CAP_SYS_NICE) nothing happens.
 * @returns ends the hurry
 */
export function hurry(): () => void {
  const usual = getPriority();
  try {
    setPriority(urgent);
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  return () => setPriority(usual);
}
