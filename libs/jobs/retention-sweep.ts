import type { SessionLedger } from '@dormouse/ledger';
import type { JobLog } from './log';
import { Sweep } from './sweep';

/** Holds true: no checkpoint, and nothing that has ended, outlives by much the time it is kept for. */
export class RetentionSweep extends Sweep {
  constructor({ ledger, log, everyMs = 60_000 }: { ledger: SessionLedger; log: JobLog; everyMs?: number }) {
    super({
      name: 'sweep of retention',
      everyMs,
      log,
      work: async () => {
        const condemned = await ledger.sweepRetention();
        await ledger.pruneHistory();
        if (condemned > 0) log.info({ condemned }, 'checkpoints have reached the age at which their pools let them go');
      },
    });
  }
}
