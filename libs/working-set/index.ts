/**
 * The working set: from what wakes have shown, what the next wake sends before it is asked. Pure; knows page numbers and
 * times, no memory and no storage.
 */
export { choose, type WakeChoice } from './choose';
export { decodeWorkingSet, encodeWorkingSet } from './encoding';
export { requestsIn, type RequestLists } from './requests-in';
export { pictureOf } from './wake-picture';
export { reportOf, type WakeReport } from './wake-report';
export { mayRun } from './may-run';
export { learn, wakingLimits, type PageRequest, type WakeTrace, type Writes } from './learn';
export { nothingKnown, strongestTrust, type Member, type WorkingSet } from './working-set';
