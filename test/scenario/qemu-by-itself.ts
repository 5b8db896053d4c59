import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { RunDirectory } from '@dormouse/hypervisor';
import { QmpClient, socketNames } from '@dormouse/qemu';
import { besideDormouse, type MachineBeside } from './machine-beside';

/** A machine's memory as QEMU itself writes it. */
export interface OwnStream {
  readonly file: string;
  readonly bytes: number;
}

/**
 * Has QEMU write the machine's memory into a file, and the machine go on: what `virsh save` would store. Live, so that
 * the stream says that the guest runs and a machine restored from it starts by itself.
 */
export async function writeOwnStream(machine: RunDirectory, file: string): Promise<OwnStream> {
  await migrateTo(machine, `exec:cat > '${file}'`);
  return { file, bytes: (await stat(file)).size };
}

/** The same to wherever a migration can go. Resolves when QEMU has sent the last of it. */
export async function migrateTo(machine: RunDirectory, uri: string): Promise<void> {
  const qmp = await QmpClient.connect(machine.socket(socketNames.monitor));
  try {
    // What an earlier save or wake of this machine has left on would make the migration wait for somebody.
    const capabilities = ['pause-before-switchover', 'postcopy-ram', 'postcopy-blocktime'];
    await qmp.execute('migrate-set-capabilities', {
      capabilities: capabilities.map((capability) => ({ capability, state: false })),
    });
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 });
    await qmp.execute('migrate', { uri });
    for (;;) {
      const { status } = await qmp.execute<{ status?: string }>('query-migrate');
      if (status === 'completed') break;
      if (status === 'failed') throw new DormouseError('MIGRATION_FAILED', 'QEMU could not write its own stream');
      await sleep(20);
    }
    await qmp.execute('cont');
  } finally {
    qmp.close();
  }
}

/**
 * Starts a second machine from QEMU's own stream, the way `virsh restore` does, and measures the time until its guest answers a
 * ping.
 */
export function eagerRestore(
  machine: MachineBeside,
  { file }: OwnStream,
): Promise<{ answeredMs: number; nonce: string }> {
  return besideDormouse({ ...machine, incoming: `exec:cat '${file}'` }, async (running) => {
    const guest = await running.guest();
    await guest.ping({ timeoutMs: 120_000, retryMs: 20 });
    const answeredMs = running.sinceMs();
    const nonce = await guest.nonce();
    guest.close();
    return { answeredMs, nonce };
  });
}
