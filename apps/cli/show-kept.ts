import type { KeptCheckpointView } from '@dormouse/views';
import { ago } from './show';
import { size } from './show-checkpoint';
import { facts, table } from './table';

/** Which checkpoints a desktop keeps, as a person sees it. */
export function showCheckpoints(checkpoints: readonly KeptCheckpointView[], now: Date): string {
  return table(
    checkpoints,
    [
      { title: 'CHECKPOINT', text: ({ id }) => id },
      { title: 'STATE', text: ({ state }) => state },
      { title: 'AGE', text: ({ durableAt, createdAt }) => ago(durableAt ?? createdAt, now) },
      { title: 'STORED', text: ({ storedBytes }) => size(storedBytes) },
      { title: 'OF', text: ({ ramBytes }) => size(ramBytes) },
      { title: 'LAST WOKEN', text: ({ restoredAt }) => (restoredAt === null ? '-' : `${ago(restoredAt, now)} ago`) },
      { title: 'KEPT BECAUSE', text: ({ keptBecause }) => keptBecause.join(', ') || '-' },
      { title: 'PIN', text: ({ pin }) => pin?.reason ?? '-' },
    ],
    'no checkpoints yet: one is made whenever the desktop is put to sleep',
  );
}

export function showKept({ id, desktopId, state, keptBecause, pin }: KeptCheckpointView): string {
  return facts([
    ['checkpoint', id],
    ['desktop', desktopId],
    ['state', state === 'condemned' ? 'condemned: nothing keeps it any more, it is going to be removed' : state],
    ['kept because', keptBecause.join(', ') || null],
    ['pin', pin && `${pin.reason} (${pin.by}, ${pin.at})`],
  ]);
}
