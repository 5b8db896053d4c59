import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, rm, stat } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
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
  await migrateToFile(machine, file);
  return { file, bytes: (await stat(file)).size };
}

/** Does what `exec:cat > file` does, which the sandbox of Dormouse's machines forbids: `cat` takes the stream from a socket. */
export async function migrateToFile(machine: RunDirectory, file: string): Promise<void> {
  const socketName = 'own-stream.sock';
  await rm(machine.file(socketName), { force: true });
  const server = createServer({ pauseOnConnect: true }).listen(machine.socket(socketName));
  await once(server, 'listening');
  const output = await open(file, 'w', 0o600);
  try {
    const stored = once(server, 'connection').then(async ([stream]: Socket[]) => {
      const cat = spawn('cat', { stdio: [stream, output.fd, 'inherit'] });
      const ended = once(cat, 'close');
      stream!.destroy(); // the process has its own
      const [status] = (await ended) as [number | null];
      if (status !== 0) throw new DormouseError('INTERNAL', `cat could not write ${file}`);
    });
    await Promise.all([migrateTo(machine, `unix:${socketName}`), stored]);
  } finally {
    server.close();
    await output.close();
  }
}

/** Sends the machine's state to `uri`. Resolves when QEMU has sent the last of it, and the machine runs on. */
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
