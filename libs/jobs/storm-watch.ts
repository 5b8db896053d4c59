import type { SessionLedger, StormBegun } from '@dormouse/ledger';
import type { JobLog } from './log';
import { Sweep } from './sweep';

/** Holds true: when too many leave at once, it is known a second later, before the shortest grace has made much of it. */
export class StormWatch extends Sweep {
  constructor({ ledger, log, everyMs = 1_000 }: { ledger: SessionLedger; log: JobLog; everyMs?: number }) {
    super({
      name: 'storm watch',
      everyMs,
      log,
      work: async () => {
        for (const begun of await ledger.watchStorms()) log.warn({ ...begun }, sentenceOf(begun));
      },
    });
  }
}

function sentenceOf({ poolId, storm }: StormBegun): string {
  const { broker, left, inUse, untilMs, spreadMs } = storm;
  const whose = broker === null ? `the pool ${poolId}` : `the broker ${broker} (pool ${poolId})`;
  const [until, released] = [untilMs, untilMs + spreadMs].map((atMs) => new Date(atMs).toISOString());
  return (
    `${left} of ${inUse} desktops of ${whose} were left at once. None of them is put to sleep before ${until}, ` +
    `and the last by ${released}. Users who return are served as ever.`
  );
}
