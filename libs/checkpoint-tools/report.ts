import type { DormouseError } from '@dormouse/errors';

/** `warning`: reading the memory does not depend on it. */
export type Severity = 'error' | 'warning';

/**
 * What is told of everything that is found wrong. Whoever looks for all there is collects; whoever needs the checkpoint
 * whole throws.
 */
export type Report = (problem: DormouseError, severity?: Severity) => void;

export const throwProblem: Report = (problem) => {
  throw problem;
};
