/**
 * What texts from outside may be, read in one place for the api, webhooks and the command line: ids, times, names of brokers; and the
 * names of files and objects that are made of ids. Pure. Does not live here: what the things are that are named so.
 */
export { areLookAlikes, brokerName } from './broker-names';
export { decodeText } from './decode-text';
export {
  desktopIdInWords,
  desktopIdPattern,
  desktopKey,
  identifierPattern,
  isDesktopId,
  isIdentifier,
  uuidPattern,
} from './identifiers';
export { instantInWords, parseInstant } from './instants';
export { issuesInWords } from './issues-in-words';
export { isPlainText } from './plain-text';
export { desktopOfSafeName, safeName } from './safe-name';
