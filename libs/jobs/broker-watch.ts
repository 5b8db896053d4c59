import type { SessionLedger } from '@dormouse/ledger';
import type { JobLog } from './log';
import { Sweep } from './sweep';

/** Holds true: soon after a broker has fallen silent no save begins on what it said last. */
export class BrokerWatch extends Sweep {
  constructor({ ledger, log, everyMs = 2_000 }: { ledger: SessionLedger; log: JobLog; everyMs?: number }) {
    super({
      name: 'broker watch',
      everyMs,
      log,
      work: async () => {
        const { fellSilent, heardAgain, inDoubt, certain } = await ledger.watchBrokers();
        for (const broker of fellSilent) {
          log.warn(
            { broker },
            'this broker has fallen silent: none of its desktops is put to sleep before it is heard again',
          );
        }
        for (const broker of heardAgain) log.info({ broker }, 'this broker is heard again');
        if (inDoubt > 0)
          log.warn({ desktops: inDoubt }, 'it is not known who is at these desktops: their broker is silent');
        if (certain > 0)
          log.info({ desktops: certain }, 'it is known again who is at these desktops: their broker is heard');
      },
    });
  }
}
