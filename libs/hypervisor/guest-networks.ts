import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DormouseError } from '@dormouse/errors';
import {
  isProcessAlive,
  plainEnvironment,
  recordedProcess,
  recordProcess,
  stopProcess,
  type ProcessUser,
  type ProgramStarter,
} from '@dormouse/process';
import { networkOf, passtSocket, type LaunchSpec, type NetworkSpec } from '@dormouse/qemu';
import type { RunDirectory } from './run-directory';

const run = promisify(execFile);

/** passt opens its socket within a tenth of a second; an overloaded host may take long. */
const passtPatienceMs = 10_000;
/** `nobody`: as whom passt runs when it is started by root. */
const nobody = 65_534;

const tapsFile = 'taps';

type Passt = Extract<NetworkSpec, { type: 'passt' }>;

/** The host's ends of a machine's network cards, of those kinds that QEMU does not make itself. They go with the machine. */
export class GuestNetworks {
  constructor(private readonly starter: ProgramStarter) {}

  /**
   * Makes what the cards are to be connected to.
   * @param user QEMU's, if it has one of its own
   * @returns the tap interfaces of those on a bridge, by the number of the card
   * @throws MACHINE_START_FAILED, DEPENDENCY_MISSING
   */
  async open(directory: RunDirectory, { nics }: LaunchSpec, user: ProcessUser | null): Promise<Record<number, string>> {
    const taps: Record<number, string> = {};
    for (const [n, nic] of nics.entries()) {
      const network = networkOf(nic);
      if (network.type === 'passt') await this.startPasst(directory, n, network, user);
      if (network.type === 'bridge') taps[n] = await this.makeTap(directory, network.bridge, user);
    }
    return taps;
  }

  private async startPasst(
    directory: RunDirectory,
    n: number,
    { ports }: Passt,
    user: ProcessUser | null,
  ): Promise<void> {
    const folder = directory.file(passtSocket.folder);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    if (process.getuid?.() === 0) await chown(folder, nobody, user?.gid ?? nobody);
    else if (user !== null) await chown(folder, -1, user.gid);
    if (user !== null) await chmod(folder, 0o710); // passt opens its socket to all who come as far
    const forwards = ports.flatMap(({ address, host, guest }) => ['-t', `${address}/${host}:${guest}`]);
    const identity = await this.starter.start({
      program: 'passt',
      // Its gateway would be the host's loopback, and its ports all of the guest's.
      args: ['--foreground', '--stderr', '--one-off', '--no-map-gw', '--socket', passtSocket.name(n), ...forwards],
      cwd: folder,
      logFile: directory.file('passt.log'),
    });
    await recordProcess(directory.file(passtRecord(n)), identity);
    const deadline = performance.now() + passtPatienceMs;
    while (!(await isThere(join(folder, passtSocket.name(n))))) {
      if (!isProcessAlive(identity) || performance.now() > deadline) {
        throw new DormouseError('MACHINE_START_FAILED', `passt did not start: ${await directory.logTail('passt.log')}`);
      }
      await sleep(5);
    }
  }

  private async makeTap(directory: RunDirectory, bridge: string, user: ProcessUser | null): Promise<string> {
    const tap = `dm${randomBytes(5).toString('hex')}`;
    // Written down before it is there: whoever clears away after us finds it.
    await writeFile(directory.file(tapsFile), `${tap}\n`, { flag: 'a', mode: 0o600 });
    try {
      await ip('tuntap', 'add', 'dev', tap, 'mode', 'tap', ...(user === null ? [] : ['user', String(user.uid)]));
      await ip('link', 'set', 'dev', tap, 'master', bridge, 'up');
      return tap;
    } catch (cause) {
      const said = (cause as { stderr?: string }).stderr?.trim() ?? String(cause);
      throw new DormouseError(
        'MACHINE_START_FAILED',
        `no tap interface on the bridge ${bridge}: ${said}. The worker needs the program ip, the bridge, and CAP_NET_ADMIN`,
        { bridge },
        { cause },
      );
    }
  }
}

/** Ends what `open` has made for the machine of this directory; what is not there any more is fine. */
export async function closeNetworks(directory: RunDirectory, nics = 8): Promise<void> {
  for (let n = 0; n < nics; n++) {
    const passt = await recordedProcess(directory.file(passtRecord(n)));
    if (passt !== null) await stopProcess(passt);
  }
  for (const tap of await tapsOf(directory)) {
    // It may never have come to be. One that is there and stays is only an interface without a machine.
    await ip('link', 'delete', 'dev', tap).catch(() => undefined);
  }
}

async function tapsOf(directory: RunDirectory): Promise<string[]> {
  const text = await readFile(directory.file(tapsFile), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.split('\n').filter((name) => /^dm[0-9a-f]{10}$/.test(name));
}

function passtRecord(nic: number): string {
  return `passt-${nic}.json`;
}

async function ip(...args: string[]): Promise<void> {
  await run('ip', args, { env: plainEnvironment() });
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
