/**
 * The checkpoint format: page map, frames, packs, known pages, wake pack, manifest, with one writer and one reader.
 * Pure but for the storage port. Knows nothing of QEMU processes, databases or queues.
 */
export { CheckpointReader } from './checkpoint-reader';
export { CheckpointWriter, type PageHasher, type SealedCheckpoint } from './checkpoint-writer';
export { ContentTable } from './content-table';
export { collectObjects, type CollectOptions, type CollectReport } from './collect-objects';
export { noDisks, type DiskBlocks, type DiskCatalog, type DiskFile } from './disk-catalog';
export type { DataKey } from './encryption';
export { FrameRun } from './frame-run';
export { HashThreads, startHashThread } from './hash-threads';
export {
  frameBytes,
  framePages,
  keyBytes,
  longestTracedRequests,
  noPage,
  pageBytes,
  pageHashBytes,
  pageKind,
  segmentPages,
} from './layout';
export type { DiskSource, Manifest, MemoryBlock, PageCounts } from './manifest-shape';
export { decodeManifest } from './manifest';
export { readMarks, type CheckpointStanding, type Marks, type Standing } from './marks';
export { desktopPrefix, objectKeys, type CheckpointKeys } from './object-keys';
export { consecutive, hashPage, hashPages, sameHash } from './page-hash';
export { countPages, PageMap } from './page-map';
export { blockPlace } from './places';
export { PreviousCheckpoint } from './previous-checkpoint';
export type { CheckpointIdentity } from './object-keys';
export { readManifest } from './read-objects';
export { SealThread, startSealThread } from './seal-on-thread';
export type { ReadingKeys } from './encryption';
export { StoredCheckpoint } from './stored-checkpoint';
export type { MachineState, WakeHead, WakeOrder } from './wake-head';
export type { WakePackReader } from './wake-pack-reader';
export { readWakeSetStarts } from './wake-set-starts';
export type { SeenPages, WakeChoice, WakeChooser } from './choosable-pages';
export { readTraces, writeTrace, type BlockedTime, type TracedRequests, type WakeTrace } from './wake-trace';
export { joinWords } from './word-list';
