import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  QemuHypervisor,
  type Capture,
  type CheckpointTarget,
  type Hypervisor,
  type Machine,
} from '@dormouse/hypervisor';
import { parseLaunchSpec } from '@dormouse/qemu';
import { SimulatedHypervisor } from '@dormouse/simulation';
import { openBlobStore } from '@dormouse/storage';
import { defaultGuestCache, ensureGuestImage, type GuestImage } from '../guest';
import { guestLaunchSpec } from '../scenario/desk';

jest.setTimeout(180_000);

let directory: string;
let image: GuestImage;
const opened: Hypervisor[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-hypervisor-'));
  await (await openBlobStore(`file://${directory}/storage`)).close(); // as a worker does at its start
  image = await ensureGuestImage(defaultGuestCache());
});
afterAll(async () => {
  for (const one of opened) {
    for (const desktopId of await one.machines()) await one.release(desktopId);
    await one.close();
  }
  await rm(directory, { recursive: true, force: true });
});

interface Driver {
  /** Of the machines it is tried with. */
  readonly memoryMiB: number;
  /** Opened again, it is what the successor of a worker that died has. */
  readonly open: () => Hypervisor;
}

/** A wake must not be over before it can be joined, on a slow machine either: it takes each of them seconds. */
const drivers: Readonly<Record<string, Driver>> = {
  'QEMU and pagers': {
    memoryMiB: 128,
    open: () =>
      new QemuHypervisor({
        qemu: 'qemu-system-x86_64',
        qemuImg: 'qemu-img',
        accelerator: 'auto',
        runRoot: join(directory, 'run'),
        diskRoot: join(directory, 'disks'),
        storageUrl: `file://${directory}/storage`,
        pagerProgram: join(__dirname, '../../dist/apps/pager/main.js'),
        machinesInWaiting: 1,
        wakeManner: { restMs: 3_000 },
      }),
  },
  'a simulation': {
    memoryMiB: 24_576,
    open: () =>
      new SimulatedHypervisor({
        root: join(directory, 'world'),
        hostId: 'host-1',
        memoryMiB: 32_768,
        speed: 20,
        fails: () => false,
      }),
  },
};

describe.each(Object.entries(drivers))('%s', (_, { memoryMiB, open }) => {
  let launchSpec: Machine['launchSpec'];
  const keys = { keyId: randomUUID(), dataKey: randomBytes(32), contentKey: randomBytes(32) };
  const desktopId = 'ada';
  const first = randomUUID();
  const machine = (diskGeneration: string): Machine => ({ desktopId, launchSpec, diskGeneration });
  const target = (checkpointId: string): CheckpointTarget => ({ operationId: randomUUID(), checkpointId, keys });
  const never = new AbortController().signal;
  let driver: Hypervisor;
  let checkpointId: string;

  function openAgain(): Hypervisor {
    const one = open();
    opened.push(one);
    return one;
  }

  function capture(id: string, signal = never): Promise<Capture> {
    const options = { previousCheckpointId: null, keptGenerations: [], signal, onProgress: () => undefined };
    return driver.capture(machine(first), target(id), options);
  }

  beforeAll(async () => {
    launchSpec = parseLaunchSpec(guestLaunchSpec(image, memoryMiB));
    driver = openAgain();
    await driver.probe();
  });

  test('examines a launch spec, answers what it would build, and leaves no machine behind', async () => {
    const fingerprint = await driver.examine({ desktopId, launchSpec });
    expect(fingerprint).toEqual(await driver.fingerprint(launchSpec));
    expect(fingerprint).toMatchObject({ memoryMiB, qemuVersion: (await driver.probe()).qemuVersion });
    expect(await driver.machines()).toEqual([]);
  });

  test('has no machine where none was started: nothing to end, and none to thaw', async () => {
    expect([await driver.condition(desktopId), await driver.isAlive(desktopId)]).toEqual(['absent', false]);
    await driver.release(desktopId);
    await expect(driver.thaw(desktopId)).rejects.toMatchObject({ code: 'MACHINE_GONE' });
    await expect(driver.pauseUnlessWritten(desktopId)).rejects.toMatchObject({ code: 'MACHINE_GONE' });
    expect(await driver.condition(desktopId)).toBe('absent');
  });

  test('boots a machine that runs and whose guest answers, and that a successor finds', async () => {
    await driver.boot(machine(first), null);
    await driver.awaitGuest(machine(first), 120_000, never);
    for (const one of [driver, openAgain()]) {
      expect([await one.condition(desktopId), await one.isAlive(desktopId)]).toEqual(['running', true]);
      expect(await one.machines()).toEqual([desktopId]);
    }
  });

  test('a machine that has written to its disks, as it does when it boots, is not stopped for being untouched', async () => {
    expect(await driver.pauseUnlessWritten(desktopId)).toBe(false);
    expect(await driver.condition(desktopId)).toBe('running');
  });

  test('a capture that is called off leaves the guest running', async () => {
    const controller = new AbortController();
    const calledOff = capture(randomUUID(), controller.signal);
    controller.abort();
    await expect(calledOff).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await driver.condition(desktopId)).toBe('running');
  });

  test('a capture freezes the guest; abandoned, it runs again and nothing is stored', async () => {
    const abandoned = randomUUID();
    const begunMs = performance.now();
    const taken = await capture(abandoned);
    expect(taken.frozenAtMs).toBeGreaterThanOrEqual(begunMs);
    expect(taken.frozenAtMs).toBeLessThanOrEqual(performance.now());
    await taken.switchOver(never);
    await taken.abandon();
    expect(await driver.condition(desktopId)).toBe('running');
    await driver.release(desktopId);
    await expect(driver.wake(machine(randomUUID()), target(abandoned), first)).rejects.toMatchObject({
      code: 'CHECKPOINT_UNKNOWN',
    });
    expect(await driver.condition(desktopId)).toBe('absent');
    await driver.boot(machine(first), null);
    await driver.awaitGuest(machine(first), 120_000, never);
  });

  test('a guest that was frozen and let go of is found so by a successor, and thawed', async () => {
    const taken = await capture(randomUUID());
    await taken.switchOver(never);
    await taken.commit(never);
    taken.close();
    const successor = openAgain();
    expect(await successor.condition(desktopId)).toBe('stopped');
    await successor.thaw(desktopId);
    expect(await successor.condition(desktopId)).toBe('running');
  });

  test('a capture that is committed says what it has stored; its machine is then released', async () => {
    checkpointId = randomUUID();
    const taken = await capture(checkpointId);
    await taken.switchOver(never);
    const facts = await taken.commit(never);
    expect(facts.ramBytes).toBeGreaterThanOrEqual(memoryMiB * 2 ** 20);
    expect(facts.storedBytes).toBeGreaterThan(0);
    taken.close();
    expect(await driver.condition(desktopId)).toBe('stopped');
    await driver.release(desktopId);
    expect([await driver.condition(desktopId), await driver.machines()]).toEqual(['absent', []]);
  });

  test('wakes a machine whose guest runs and answers, and has all of its memory in the end', async () => {
    const generation = randomUUID();
    await driver.prepareWake(machine(first), first);
    const wake = await driver.wake(machine(generation), target(checkpointId), first);
    expect(['waking', 'running']).toContain(await driver.condition(desktopId));
    await driver.greet(machine(generation), 60_000, never);
    const done = await wake.hydrated(() => undefined);
    expect(done.sentPages).toBe(done.totalPages);
    expect(done.hydratedMs).toBeGreaterThan(0);
    expect(await driver.condition(desktopId)).toBe('running');
    await driver.release(desktopId);
  });

  test('a wake is joined by a successor, and there is nothing to be joined once it is whole, or gone', async () => {
    const generation = randomUUID();
    const wake = await driver.wake(machine(generation), target(checkpointId), first);
    const successor = openAgain();
    const joined = await successor.rejoinWake(machine(generation), target(checkpointId));
    await successor.greet(machine(generation), 60_000, never);
    await joined!.hydrated(() => undefined);
    await wake.hydrated(() => undefined).catch(() => undefined); // a pager speaks to the last who called
    expect(await successor.condition(desktopId)).toBe('running');
    // Its pager may still be on its way out.
    while ((await successor.rejoinWake(machine(generation), target(checkpointId))) !== null) await sleep(20);
    await successor.forget(desktopId);
    expect([await driver.condition(desktopId), await driver.machines()]).toEqual(['absent', []]);
    const rejoined = driver.rejoinWake(machine(generation), target(checkpointId));
    await expect(rejoined).rejects.toMatchObject({ code: 'MACHINE_GONE' });
  });

  test('whoever has seen another machine than the one that runs changes nothing: that one is a successor’s', async () => {
    const generation = randomUUID();
    const before = await driver.boot(machine(generation), null);
    expect(await driver.seen(desktopId)).toBe(before);
    const successor = openAgain();
    await successor.release(desktopId, { seen: before });
    expect(await driver.seen(desktopId)).toBeNull();
    const now = await successor.boot({ ...machine(generation), seen: null }, null);
    expect(now).not.toBe(before);
    for (const seen of [before, null]) {
      const late = { ...machine(generation), seen };
      const another = { ...late, diskGeneration: randomUUID() };
      const options = { previousCheckpointId: null, keptGenerations: [], signal: never, onProgress: () => undefined };
      const changes = [
        () => driver.release(desktopId, { seen }),
        () => driver.release(desktopId, { seen, byForce: true }),
        () => driver.thaw(desktopId, seen),
        () => driver.pauseUnlessWritten(desktopId, seen),
        () => driver.shutDown(late, 100, never),
        () => driver.capture(late, target(randomUUID()), options),
        () => driver.boot(late, null),
        () => driver.wake(another, target(checkpointId), first),
        () => driver.rejoinWake(late, target(checkpointId)),
      ];
      for (const change of changes) await expect(change()).rejects.toMatchObject({ code: 'SUPERSEDED' });
    }
    expect([await driver.seen(desktopId), await driver.condition(desktopId)]).toEqual([now, 'running']);
    await driver.forget(desktopId);
    expect(await driver.seen(desktopId)).toBeNull();
  });
});
