import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  mergeLayers,
  QemuHypervisor,
  RunDirectory,
  surveyLayers,
  type CheckpointTarget,
  type Machine,
  type QemuHypervisorOptions,
} from '@dormouse/hypervisor';
import { isProcessAlive, stopProcess, type ProcessIdentity } from '@dormouse/process';
import { parseLaunchSpec, socketNames } from '@dormouse/qemu';
import { openBlobStore } from '@dormouse/storage';
import { defaultGuestCache, ensureGuestImage, GuestClient, runInGuest } from '../guest';
import { qemuBinaries } from '../qemu';
import { guestLaunchSpec } from '../scenario';
import { save } from './saved-machine';

/** Machines that wait for the wake of a sleeping desktop: which one is taken, and that none is left over. */
jest.setTimeout(180_000);

let directory: string;
let launchSpec: Machine['launchSpec'];
let options: QemuHypervisorOptions;
let hypervisor: QemuHypervisor;

describe.each(qemuBinaries())('with %s', (qemu) => {
  beforeAll(async () => {
    launchSpec = parseLaunchSpec(guestLaunchSpec(await ensureGuestImage(defaultGuestCache()), 128));
  });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dormouse-waiting-'));
    const storageUrl = `file://${directory}/storage`;
    await (await openBlobStore(storageUrl)).close(); // as a worker does at its start
    options = {
      ...{ qemu, qemuImg: 'qemu-img', accelerator: 'auto', storageUrl, machinesInWaiting: 2 },
      runRoot: join(directory, 'run'),
      diskRoot: join(directory, 'disks'),
      pagerProgram: join(process.cwd(), 'dist', 'apps', 'pager', 'main.js'),
      wakeManner: { restMs: 0, longestMs: 100 },
    };
    hypervisor = new QemuHypervisor(options);
    await hypervisor.probe();
  });

  afterEach(async () => {
    for (const desktopId of await hypervisor.machines()) await hypervisor.release(desktopId);
    await hypervisor.close();
    await rm(directory, { recursive: true, force: true });
  });

  test('the machine that waits is the one that wakes, and writes to the layer of its wake', async () => {
    const machine = desktop();
    const checkpoint = await saved(machine, 'before the night');
    await hypervisor.prepareWake(machine, 'one');
    const waits = (await waiting())[0]!;
    expect([await hypervisor.isAlive(machine.desktopId), await hypervisor.machines()]).toEqual([false, []]);

    const awake = { ...machine, diskGeneration: 'two' };
    const wake = await hypervisor.wake(awake, checkpoint, 'one');
    expect(wake.machineWaited).toBe(true);
    await wake.hydrated(() => undefined);
    expect(await runDirectory(machine).liveProcess('qemu')).toEqual(waits);
    expect(await readdir(join(options.runRoot, '.waiting'))).toEqual([]);
    const second = await savedRunning(awake, 'before the night', 'after it');

    await (await hypervisor.wake({ ...machine, diskGeneration: 'three' }, second, 'two')).hydrated(() => undefined);
    const guest = await guestOf(machine);
    expect(await guest.read()).toBe('after it');
    guest.close();
    // The disk that belongs to the first checkpoint is as it was.
    await hypervisor.release(machine.desktopId);
    await (await hypervisor.wake({ ...machine, diskGeneration: 'four' }, checkpoint, 'one')).hydrated(() => undefined);
    const again = await guestOf(machine);
    expect(await again.read()).toBe('before the night');
    again.close();
  });

  test('it wakes with its disk whole when layers below it have become one meanwhile', async () => {
    const lowest = desktop();
    await saved(lowest, 'long before the night');
    const machine = { ...lowest, diskGeneration: 'sealed' };
    await hypervisor.boot(machine, 'one');
    const checkpoint = await savedRunning(machine, 'long before the night', 'before it');
    await hypervisor.prepareWake(machine, 'sealed');
    const [waits] = await waiting();
    const disks = join(options.diskRoot, machine.desktopId);
    const layers = (await surveyLayers(disks)).layers.filter(({ generation }) => generation !== 'sealed.next');
    await mergeLayers(
      disks,
      layers.sort((a, b) => Number(a.below !== null) - Number(b.below !== null)),
      options,
    );

    await (
      await hypervisor.wake({ ...machine, diskGeneration: 'two' }, checkpoint, 'sealed')
    ).hydrated(() => undefined);
    expect(await runDirectory(machine).liveProcess('qemu')).toEqual(waits);
    await runInGuest(runDirectory(machine).file(socketNames.agent), 'echo 3 > /proc/sys/vm/drop_caches');
    const guest = await guestOf(machine);
    expect(await guest.read()).toBe('before it');
    guest.close();
  });

  test.each(['gone to a wake on another host', 'made again'])(
    'one whose layer has %s is ended, and another wakes',
    async (fate) => {
      const machine = desktop();
      const checkpoint = await saved(machine, 'before the night');
      await hypervisor.prepareWake(machine, 'one');
      const waits = (await waiting())[0]!;
      // It has the same disks.
      const other = { ...options, runRoot: join(directory, 'other-host') };
      const otherHost = new QemuHypervisor(other);
      await otherHost.probe();
      if (fate === 'made again') {
        await otherHost.prepareWake(machine, 'one');
      } else {
        await otherHost.wake({ ...machine, diskGeneration: 'elsewhere' }, checkpoint, 'one');
        const guest = await guestOf(machine, other);
        await guest.write('on the other host');
        guest.close();
        await otherHost.release(machine.desktopId);
      }
      await otherHost.close();
      expect(isProcessAlive(waits)).toBe(true);

      const wake = await hypervisor.wake({ ...machine, diskGeneration: 'two' }, checkpoint, 'one');
      await wake.hydrated(() => undefined);
      expect(isProcessAlive(waits)).toBe(false);
      expect(await readdir(join(options.runRoot, '.waiting'))).toEqual([]);
      const guest = await guestOf(machine);
      expect(await guest.read()).toBe('before the night');
      guest.close();
    },
  );

  test('one that was started for another machine, or has died, is not taken', async () => {
    const machine = desktop();
    const checkpoint = await saved(machine, 'before the night');
    await hypervisor.prepareWake(machine, 'one');
    const [waits] = await waiting();
    const other = { ...machine, launchSpec: { ...launchSpec, extraArguments: ['-device', 'virtio-balloon-pci'] } };
    const { machineWaited } = await hypervisor.wake({ ...other, diskGeneration: 'two' }, checkpoint, 'one');
    expect([machineWaited, isProcessAlive(waits!)]).toEqual([false, false]);
    await hypervisor.release(machine.desktopId);

    await hypervisor.prepareWake(machine, 'one');
    await stopProcess((await waiting())[0]!, { signal: 'SIGKILL' });
    await (await hypervisor.wake({ ...machine, diskGeneration: 'three' }, checkpoint, 'one')).hydrated(() => undefined);
  });

  test('the one that has waited longest makes room; with the driver all end', async () => {
    const machines = [desktop(), desktop(), desktop()];
    const seen: ProcessIdentity[] = [];
    for (const machine of machines) {
      await hypervisor.boot(machine, null);
      await hypervisor.release(machine.desktopId);
      await hypervisor.prepareWake(machine, 'one');
      seen.push((await waiting()).find(({ pid }) => !seen.some((one) => one.pid === pid))!);
    }
    expect(seen.map(isProcessAlive)).toEqual([false, true, true]);
    await hypervisor.forget(machines[1]!.desktopId);
    expect(seen.map(isProcessAlive)).toEqual([false, false, true]);
    await hypervisor.close();
    expect(seen.map(isProcessAlive)).toEqual([false, false, false]);
  });

  test('what a killed worker has left its successor ends, and nobody else', async () => {
    const machine = desktop();
    await hypervisor.boot(machine, null);
    await hypervisor.release(machine.desktopId);
    await hypervisor.prepareWake(machine, 'one');
    const [own] = await waiting();
    const about = JSON.stringify({ options, machine });
    const program = ['--require', join(__dirname, '../contract/typescript.cjs'), join(__dirname, 'waiting-owner.ts')];
    const dying = spawn(process.execPath, [...program, about], { stdio: 'inherit' });
    await once(dying, 'exit');
    expect(dying.signalCode).toBe('SIGKILL');
    const left = (await waiting()).find(({ pid }) => pid !== own!.pid)!;
    expect([isProcessAlive(own!), isProcessAlive(left)]).toEqual([true, true]);

    const successor = new QemuHypervisor(options);
    await successor.probe();
    expect([isProcessAlive(own!), isProcessAlive(left)]).toEqual([true, false]);
    expect(await waiting()).toEqual([own]);
    await successor.close();
  });
});

function desktop(): Machine {
  return { desktopId: `desk-${randomUUID()}`, launchSpec, diskGeneration: 'one' };
}

function runDirectory({ desktopId }: Machine, { runRoot } = options): RunDirectory {
  return new RunDirectory(runRoot, desktopId);
}

async function waiting(): Promise<ProcessIdentity[]> {
  const root = join(options.runRoot, '.waiting');
  const found = (await readdir(root)).map((name) => new RunDirectory(root, name).liveProcess('qemu'));
  return (await Promise.all(found)).filter((one) => one !== null);
}

async function guestOf(machine: Machine, host = options): Promise<GuestClient> {
  const guest = await GuestClient.connect(runDirectory(machine, host).file(socketNames.probe));
  await guest.ping({ timeoutMs: 120_000 });
  return guest;
}

/** Boots it and has it write to its disk, then sleep. */
async function saved(machine: Machine, text: string): Promise<CheckpointTarget> {
  await hypervisor.boot(machine, null);
  return savedRunning(machine, null, text);
}

async function savedRunning(machine: Machine, found: string | null, text: string): Promise<CheckpointTarget> {
  const guest = await guestOf(machine);
  if (found !== null) expect(await guest.read()).toBe(found);
  await guest.write(text);
  guest.close();
  return save(hypervisor, machine);
}
