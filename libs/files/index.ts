/**
 * Small files and directories of ours on a disk that may be full, half written or not there: a file is written whole and durably,
 * a directory is made or refused, a log is kept within bounds. Does not live here: what the files say.
 */
export { shareWithGroup } from './share-with-group';
export { syncDirectory, writeWhole, writeOnce } from './write-whole';
export { boundLog, boundLogs, lastLines, mostLogBytes } from './bounded-log';
export { fileSystemTime } from './file-system-time';
export { makeDirectory } from './make-directory';
export { readIfThere } from './read-if-there';
