import { mkdir, rm, stat } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DormouseError } from '@dormouse/errors';
import { RunDirectory } from '@dormouse/hypervisor';
import { spawnDetached, stopProcess } from '@dormouse/process';
import { launchArguments, parseLaunchSpec, QmpClient, socketNames, type Accelerator } from '@dormouse/qemu';
import type { JsonObject } from '@dormouse/session';
import { GuestClient } from '../guest';

const run = promisify(execFile);

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
 * Starts a second machine from QEMU's own stream, the way `virsh restore` does, on a throw-away layer over the sealed
 * disk, and measures the time until its guest answers a ping.
 */
export async function eagerRestore(
  scratch: string,
  launchSpec: JsonObject,
  accelerator: Accelerator,
  { stream, sealedLayer }: { stream: OwnStream; sealedLayer: string },
  beforeStart: () => Promise<void>,
): Promise<{ answeredMs: number; nonce: string }> {
  const directory = new RunDirectory(scratch, 'eager');
  await mkdir(scratch, { recursive: true });
  await directory.create();
  const overlay = join(directory.path, 'overlay.qcow2');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', sealedLayer, '-F', 'qcow2', overlay]);
  const spec = parseLaunchSpec(launchSpec);
  const args = launchArguments(spec, {
    name: 'eager',
    accelerator,
    overlays: [overlay],
    incoming: `exec:cat '${stream.file}'`,
  });
  await beforeStart();
  const startedMs = performance.now();
  const qemu = await spawnDetached({
    program: 'qemu-system-x86_64',
    args,
    cwd: directory.path,
    logFile: directory.file('qemu.log'),
  });
  try {
    const guest = await connectSoon(directory.file(socketNames.probe));
    await guest.ping({ timeoutMs: 120_000, retryMs: 20 });
    const answeredMs = performance.now() - startedMs;
    const nonce = await guest.nonce();
    guest.close();
    return { answeredMs, nonce };
  } finally {
    await stopProcess(qemu, { signal: 'SIGKILL' });
    await rm(directory.path, { recursive: true, force: true });
  }
}

async function connectSoon(path: string): Promise<GuestClient> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await GuestClient.connect(path);
    } catch (error) {
      if (attempt === 20_000) throw error;
      await sleep(2);
    }
  }
}
