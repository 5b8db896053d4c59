/** Errors on their way out: anything thrown becomes RFC 9457 problem+json. The codes themselves are in libs/errors. */
export { asDormouseError, problemContentType, toProblem, type Problem } from './problem';
export { ProblemFilter } from './problem.filter';
