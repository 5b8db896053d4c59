import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { QemuHypervisor, RunDirectory, type Capture, type Machine } from '@dormouse/hypervisor';
import { parseLaunchSpec, QmpClient, socketNames } from '@dormouse/qemu';
import { openBlobStore } from '@dormouse/storage';
import { defaultGuestCache, ensureGuestImage, GuestClient, type GuestImage } from '../guest';
import { qemuBinaries } from '../qemu';
import { guestLaunchSpec } from '../scenario';
import { never, save, targetOf } from './saved-machine';

/** Machines that somebody does something to while they run: what could not be woken is not saved, and the guest runs on. */
jest.setTimeout(240_000);

let image: GuestImage;
let directory: string;
let hypervisor: QemuHypervisor;
let version: string;

describe.each(qemuBinaries())('with %s', (qemu) => {
  beforeAll(async () => {
    image = await ensureGuestImage(defaultGuestCache());
    directory = await mkdtemp(join(tmpdir(), 'dormouse-changed-'));
    const storageUrl = pathToFileURL(join(directory, 'storage')).href;
    await (await openBlobStore(storageUrl)).close(); // as a worker does at its start
    hypervisor = new QemuHypervisor({
      qemu,
      qemuImg: 'qemu-img',
      accelerator: 'auto',
      runRoot: join(directory, 'run'),
      diskRoot: join(directory, 'disks'),
      storageUrl,
      pagerProgram: join(process.cwd(), 'dist', 'apps', 'pager', 'main.js'),
      machinesInWaiting: 0,
    });
    version = /^\d+\.\d+/.exec((await hypervisor.probe()).qemuVersion)![0];
  });

  afterAll(async () => {
    await hypervisor?.close();
    await rm(directory, { recursive: true, force: true });
  });

  function machine(extraArguments: readonly string[] = []): Machine {
    const spec = { ...guestLaunchSpec(image, 128), machine: `pc-q35-${version}`, extraArguments };
    return { desktopId: `desk-${randomUUID()}`, launchSpec: parseLaunchSpec(spec), diskGeneration: 'one' };
  }

  function runOf({ desktopId }: Machine): RunDirectory {
    return new RunDirectory(join(directory, 'run'), desktopId);
  }

  /** What an admin says to it. */
  async function tell(
    desktop: Machine,
    command: string,
    args: Readonly<Record<string, unknown>> = {},
  ): Promise<unknown> {
    const qmp = await QmpClient.connect(runOf(desktop).socket(socketNames.monitor));
    try {
      return await qmp.execute(command, args);
    } finally {
      qmp.close();
    }
  }

  async function booted(extraArguments: readonly string[] = []): Promise<{ desktop: Machine; guest: GuestClient }> {
    const desktop = machine(extraArguments);
    await hypervisor.boot(desktop, null);
    const guest = await GuestClient.connect(runOf(desktop).file(socketNames.probe));
    await guest.ping({ timeoutMs: 120_000 });
    return { desktop, guest };
  }

  function capture(desktop: Machine, onProgress = (): void => undefined): Promise<Capture> {
    return hypervisor.capture(desktop, targetOf(), {
      previousCheckpointId: null,
      keptGenerations: [],
      signal: never,
      onProgress,
    });
  }

  test('a device that was plugged in keeps it from being saved, before and after the wake; unplugged, it is saved', async () => {
    const { desktop, guest } = await booted(['-device', 'qemu-xhci,id=xhci']);
    try {
      await tell(desktop, 'device_add', { driver: 'usb-tablet', bus: 'xhci.0', id: 't' });
      await expect(capture(desktop)).rejects.toMatchObject({
        code: 'MACHINE_CHANGED',
        details: { differences: [expect.stringMatching(/^usb-tablet \(t\) was plugged in: unplug it/)] },
      });
      await guest.ping();
      await tell(desktop, 'device_del', { id: 't' });
      const nonce = await guest.nonce();
      guest.close();
      const target = await save(hypervisor, desktop);
      const awake = { ...desktop, diskGeneration: 'two' };
      const wake = await hypervisor.wake(awake, target, 'one');
      await wake.hydrated(() => undefined);
      const again = await GuestClient.connect(runOf(desktop).file(socketNames.probe));
      expect(await again.nonce()).toBe(nonce);
      await tell(awake, 'device_add', { driver: 'usb-kbd', bus: 'xhci.0', id: 'k' });
      await expect(capture(awake)).rejects.toMatchObject({ code: 'MACHINE_CHANGED' });
      await again.ping();
      again.close();
    } finally {
      await hypervisor.forget(desktop.desktopId);
    }
  });

  test('what is added while memory is stored is noticed with the guest frozen, which then runs on', async () => {
    const { desktop, guest } = await booted();
    try {
      const node = { driver: 'null-co', 'node-name': 'late' };
      const outcomes: unknown[] = [];
      await guest.fill(8);
      // The guest may be frozen before the node is there: then once more.
      while (outcomes.at(-1) === undefined && outcomes.length < 10) {
        const added: Promise<unknown>[] = [];
        const add = (): void => {
          if (added.length === 0) added.push(tell(desktop, 'blockdev-add', node));
        };
        const taken = await capture(desktop, add).catch((error: unknown) => error);
        await Promise.all(added);
        if (taken instanceof Error) outcomes.push(taken);
        else {
          await (taken as Capture).abandon();
          outcomes.push(undefined);
        }
        if (added.length > 0) await tell(desktop, 'blockdev-del', { 'node-name': 'late' });
      }
      expect(outcomes.at(-1)).toMatchObject({ code: 'MACHINE_CHANGED', message: expect.stringContaining('late') });
      await guest.ping();
      expect(await hypervisor.condition(desktop.desktopId)).toBe('running');
      guest.close();
    } finally {
      await hypervisor.forget(desktop.desktopId);
    }
  });

  test('a disk that goes on elsewhere, or that a backup is at, is not saved, and it is said why', async () => {
    const { desktop, guest } = await booted();
    try {
      const backup = {
        device: 'disk0',
        target: join(directory, 'backup.qcow2'),
        sync: 'full',
        speed: 1,
        'job-id': 'nightly',
      };
      await tell(desktop, 'drive-backup', backup);
      await expect(capture(desktop)).rejects.toMatchObject({
        code: 'MACHINE_CHANGED',
        details: { differences: [expect.stringMatching(/^a backup job \(nightly\)/)] },
      });
      await tell(desktop, 'block-job-cancel', { device: 'nightly', force: true });
      const elsewhere = { 'node-name': 'disk0', 'snapshot-file': join(directory, 'elsewhere.qcow2'), format: 'qcow2' };
      await tell(desktop, 'blockdev-snapshot-sync', { ...elsewhere, 'snapshot-node-name': 'on-top' });
      await guest.write('in a file that nobody knows');
      await expect(capture(desktop)).rejects.toMatchObject({
        code: 'MACHINE_CHANGED',
        message: expect.stringContaining('elsewhere.qcow2'),
      });
      await guest.ping();
      guest.close();
    } finally {
      await hypervisor.forget(desktop.desktopId);
    }
  });

  test('a guest that an admin has stopped is saved so, stands still again when it wakes, and goes on when it is told to', async () => {
    const { desktop, guest } = await booted();
    try {
      const nonce = await guest.nonce();
      guest.close();
      await tell(desktop, 'stop');
      const begunMs = performance.now();
      const called = await capture(desktop);
      expect(called.frozenAtMs).toBeGreaterThanOrEqual(begunMs);
      expect(called.frozenAtMs).toBeLessThanOrEqual(performance.now());
      await called.switchOver(never);
      await called.abandon();
      expect(await hypervisor.condition(desktop.desktopId)).toBe('stopped');
      const target = { ...(await save(hypervisor, desktop)), paused: true };
      for (const [generation, how] of [
        ['two', 'lazy'],
        ['three', 'eager'],
      ] as const) {
        const wake = await hypervisor.wake({ ...desktop, diskGeneration: generation }, target, 'one', how);
        await wake.hydrated(() => undefined);
        expect(await hypervisor.condition(desktop.desktopId)).toBe('stopped');
        if (how === 'lazy') await hypervisor.release(desktop.desktopId);
      }
      await tell(desktop, 'cont');
      const again = await GuestClient.connect(runOf(desktop).file(socketNames.probe));
      expect(await again.nonce()).toBe(nonce);
      again.close();
    } finally {
      await hypervisor.forget(desktop.desktopId);
    }
  });

  test('a record of the machine that is damaged keeps nobody from saving it', async () => {
    const { desktop, guest } = await booted();
    try {
      guest.close();
      await writeFile(runOf(desktop).file('machine.json'), '{"objects":');
      await (await capture(desktop)).abandon();
    } finally {
      await hypervisor.forget(desktop.desktopId);
    }
  });
});
