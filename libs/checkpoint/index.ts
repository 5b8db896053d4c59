/**
 * The checkpoint format: page map, frames, packs, wake pack, manifest, with one writer and one reader.
 * Pure but for the storage port. Knows nothing of QEMU processes, databases or queues.
 */
export { CheckpointReader, readManifest } from './checkpoint-reader';
export { CheckpointWriter, type SealedCheckpoint } from './checkpoint-writer';
export { FrameRun } from './frame-run';
export { deleteCheckpoint } from './delete-checkpoint';
export { framePages, pageBytes, pageKind } from './layout';
export { decodeManifest, encodeManifest, type Manifest, type MemoryBlock, type PageCounts } from './manifest';
export { objectKeys, type CheckpointKeys } from './object-keys';
export { PageMap, type PageReference } from './page-map';
