/**
 * What Linux gives us around processes: identities that survive the reuse of ids, a starter of detached children, unix sockets
 * in directories with long names, children that end with us, and the lines that come out of one. Knows nothing of QEMU, databases or desktops.
 */
export {
  identifyProcess,
  isProcessAlive,
  parseProcessIdentity,
  processEnded,
  stopProcess,
  type ProcessIdentity,
} from './process-identity';
export { connectToSocket } from './connect-to-socket';
export { diesWithParent } from './dies-with-parent';
export { hugePageHeap } from './huge-page-heap';
export { hurry } from './hurry';
export { Lines } from './lines';
export { holdsOpen } from './open-files';
export { bearLostOutput } from './lost-output';
export { readProcessRecord, recordedProcess, recordProcess } from './process-record';
export { commandLineOf, processesIn } from './processes-in';
export { plainEnvironment } from './plain-environment';
export { processScope } from './process-scope';
export { asUser, findUser, type ProcessUser } from './process-user';
export { processStat, type ProcessStat } from './process-stat';
export { stopMessage, stopPatienceMs, untilStopped, type StopReason } from './lifetime';
export { ProgramStarter, type DetachedCommand } from './program-starter';
export { runProgram } from './run-program';
export { unlessAborted } from './unless-aborted';
export { unixSocketPath } from './unix-socket-path';
