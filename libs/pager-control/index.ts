/**
 * How a worker and a pager talk: the job a pager is started with, the state it reports, the commands it takes, over a
 * unix socket in the run directory. Neither side's work lives here.
 */
export { longestAssignment, parseAssignment, parseSetUp } from './assignment';
export { ControlServer } from './control-server';
export { PagerClient, type PagerSilence } from './pager-client';
export {
  pagerSockets,
  processRecord,
  type CaptureJob,
  type CaptureStatus,
  type DiskFiles,
  type PagerAssignment,
  type PagerCommand,
  type PagerJob,
  type PagerKeys,
  type PagerSetUp,
  type PagerStatus,
  type ServeJob,
  type ServeStatus,
  type ProcessRole,
  type WakeManner,
} from './protocol';
