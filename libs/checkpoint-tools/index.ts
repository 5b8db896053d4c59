/**
 * Tools for whoever has checkpoints: verify, inspect, export. Written from `docs/checkpoint-format.md` alone, so that it is
 * a second opinion on what `libs/checkpoint` writes; the two share no code.
 * Does not live here: where keys and disk files come from, and how a report is shown (apps/cli).
 */
export type { DiskFiles } from './content/disk-blocks';
export { exportStream, type Exported, type ExportOptions, type ExportProgress } from './export/export-stream';
export { exportToFile } from './export/export-to-file';
export type { CheckpointKeys, CheckpointName } from './format';
export { inspectCheckpoint, type CheckpointSummary, type PageFate } from './inspect-checkpoint';
export type { Severity } from './report';
export type { Finding } from './verify/findings';
export {
  verifyCheckpoint,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
} from './verify/verify-checkpoint';
