import type { Collected } from './collect-garbage';
import { counted } from './show';
import { size } from './show-checkpoint';

/** What a collection of garbage looks like to a person. */
export function showCollected({ dryRun, graceS, storage, layers }: Collected): string {
  const removed = dryRun ? 'would be removed' : 'removed';
  const { removedObjects, removedBytes, waitingObjects, unknownObjects } = storage;
  const lines = [
    `${counted(removedObjects, 'object')} ${removed} from the storage, ${size(removedBytes)}`,
    `${counted(layers.removedLayers, 'disk layer')} ${removed} from this host, ${size(layers.removedBytes)}`,
    ...layers.forgotten.map((id) => `all files of ${id}, which was deleted, ${removed} from this host`),
  ];
  if (waitingObjects > 0) {
    lines.push(`${counted(waitingObjects, 'object')} nobody needs either, for less than ${graceS} s (GC_GRACE_S)`);
  }
  if (unknownObjects > 0) {
    lines.push(
      `${counted(unknownObjects, 'object')} of checkpoints that this database has never heard of; they stay. Is it the right`,
      'database, or one that was set back to an older backup? Does another Dormouse use the same storage?',
    );
  }
  for (const { desktopId, code, message } of [...storage.failures, ...layers.failures]) {
    lines.push(`${desktopId} was left alone: ${code}  ${message}`);
  }
  return lines.join('\n');
}
