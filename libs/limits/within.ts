import { DormouseError } from '@dormouse/errors';
import { limits, type LimitName, type WaitLimit } from './limits';

export function limitOf(name: LimitName): WaitLimit {
  return limits[name];
}

/** The error that ends a wait. Its details name the row of the table, which is also the label of the metric. */
export function timedOut(name: LimitName, about = ''): DormouseError {
  const { ms, who, to, code } = limitOf(name);
  const message = `${who} did not ${to} within ${ms / 1000} s${about === '' ? '' : `: ${about}`}`;
  return new DormouseError(code, message, { waitedFor: name, limitMs: ms });
}

/**
 * What becomes of `work`, unless that takes longer than the table allows. Nobody looks at the work any more then; whoever can end it
 * does so in `onTimeout`.
 * @throws the error of the limit
 */
export async function within<T>(
  name: LimitName,
  work: Promise<T>,
  { about = '', onTimeout }: { about?: string; onTimeout?: () => void } = {},
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(timedOut(name, about)); // first: what the end of the work makes of it is not the reason
      onTimeout?.();
    }, limitOf(name).ms);
  });
  work.catch(() => undefined); // too late to be of interest, once the wait is over
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
