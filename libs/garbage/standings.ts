import type { CheckpointStanding, Standing } from '@dormouse/checkpoint';
import type { DesktopHoldings, HeldCheckpoint } from '@dormouse/ledger';

/** What is to become of each checkpoint, if what was condemned before `unneededBeforeMs` may go. */
export function standingsOf({ checkpoints }: DesktopHoldings, unneededBeforeMs: number): CheckpointStanding[] {
  return checkpoints.map((checkpoint) => ({ id: checkpoint.id, standing: standingOf(checkpoint, unneededBeforeMs) }));
}

function standingOf({ state, isCurrent, condemnedAt }: HeldCheckpoint, unneededBeforeMs: number): Standing {
  // The next save leans on the current one, whatever else is said of it.
  if (isCurrent || state === 'durable') return 'kept';
  if (state === 'writing') return 'writing';
  const isLate = condemnedAt === null || Date.parse(condemnedAt) <= unneededBeforeMs;
  return state === 'condemned' && !isLate ? 'leaving' : 'gone';
}
