import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockedTime } from '@dormouse/checkpoint';
import { describeError } from '@dormouse/errors';
import { QmpClient, socketIn, socketNames } from '@dormouse/qemu';

/** QEMU has taken in the last page, and has yet to say that it is done. */
const patienceMs = 500;
const lookEveryMs = 5;

interface Migration {
  readonly status?: string;
  readonly 'postcopy-blocktime'?: number;
  readonly 'postcopy-vcpu-blocktime'?: readonly number[];
}

/**
 * How long QEMU says that the guest's processors waited for pages (`postcopy-blocktime`), by its own clock; null when it does not
 * say. The socket is the one for people: when somebody is at it, it is left to them.
 */
export async function askBlockedTime(): Promise<BlockedTime | null> {
  try {
    return await Promise.race([ask(), sleep(patienceMs, null, { ref: false })]);
  } catch (error) {
    process.stderr.write(`QEMU does not say how long its guest was blocked: ${describeError(error).message}\n`);
    return null;
  }
}

async function ask(): Promise<BlockedTime | null> {
  const qmp = await QmpClient.connect(socketIn('.', socketNames.monitor));
  try {
    for (;;) {
      const migration = await qmp.execute<Migration>('query-migrate');
      const [allMs, eachMs] = [migration['postcopy-blocktime'], migration['postcopy-vcpu-blocktime']];
      if (migration.status === 'completed')
        return allMs === undefined || eachMs === undefined ? null : { allMs, eachMs };
      await sleep(lookEveryMs);
    }
  } finally {
    qmp.close();
  }
}
