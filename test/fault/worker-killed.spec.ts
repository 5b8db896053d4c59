import { setTimeout as sleep } from 'node:timers/promises';
import { processEnded } from '@dormouse/process';
import type { DesktopView } from '@dormouse/views';
import { sendSignal, watchGuest, type GuestWatch, type RunningDormouse } from '../scenario';
import { slowDown, type SlowedProcess } from '../scenario/slow-process';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';
import { verifyStored } from '../scenario/verify-stored';
import { RowHold } from '../scenario/row-hold';

jest.setTimeout(240_000);

/** Until the successor has it: the lease and the job's lock run out, and a little. */
const takeoverPatienceMs = 60_000;
/** How long a guest may stand still when the worker that had frozen it dies. A successor is much later than that. */
const stillMs = 5_000;
/** Until a pager without a worker has given up and cleared up. */
const pagerPatienceMs = 60_000;

let bed: TestBed;
let dormouse: RunningDormouse;
let databaseUrl: string;
const desks = new Map<string, RunningDesk & { watch: GuestWatch }>();

/** The last of these decisions that a frozen guest waits for. */
const lastFrozen = 3;

/** Where the save of each desktop is when its worker is killed: before which decision of the ledger. */
const saves = {
  ada: { decision: null, step: 'the capture goes on' },
  bob: { decision: 1, step: 'the guest is frozen, the switchover not authorized' },
  cleo: { decision: 2, step: 'all but the manifest is durable' },
  dora: { decision: 3, step: 'the manifest is written, and only the pager knows' },
  eve: { decision: 4, step: 'the checkpoint is committed' },
  fay: { decision: 5, step: 'the machine is gone, and nobody was told' },
} as const;
type Id = keyof typeof saves;

function rows(...ids: Id[]): [string, Id][] {
  return ids.map((id) => [saves[id].step, id]);
}

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start({ GC_GRACE_S: '0', HOST_SLOTS: '8/8' }); // what was given up goes at once; six are saved at once
  // All these deaths take a while: nobody is to be put to sleep for being alone meanwhile.
  await dormouse.api.putPool('default', { graceMs: 60 * 60_000, keepCheckpoints: 2 });
  ({ databaseUrl } = await dormouse.services());
  const boot = async (id: string): Promise<void> => {
    const running = await bed.desktop(dormouse, id);
    await running.guest.write(`the disk of ${id}`);
    desks.set(id, { ...running, watch: watchGuest(running.guest) });
  };
  await Promise.all(Object.keys(saves).map(boot));
});

afterAll(() => bed?.end());

function desk(id: string): RunningDesk & { watch: GuestWatch } {
  return desks.get(id)!;
}

/** Halted or held, and what lets it go on. */
type LetGo = () => Promise<void>;

/** Starts an operation and waits until it has reached a phase. */
async function begin(id: string, command: 'save' | 'restore', phase: string): Promise<void> {
  await dormouse.api.command(id, command, { reason: 'its worker is to be killed' });
  for (;;) {
    const { operation } = await dormouse.api.desktop(id);
    if (operation?.phase === phase && operation.status === 'active') return;
    await sleep(5);
  }
}

async function holdBefore(id: string, decision: number): Promise<LetGo> {
  let hold = await RowHold.take(databaseUrl, id);
  for (let passed = 1; passed < decision; passed++) hold = await hold.passOne();
  await hold.workerWaits();
  return () => hold.release();
}

async function haltCapture(id: string): Promise<LetGo> {
  const pager = slowDown(await desk(id).desk.process('pager'));
  await desk(id).desk.until(({ operation }) => Number(operation?.progress['streamBytes']) > 0);
  pager.halt();
  return async () => pager.atFullSpeed();
}

/** Where each save is to be. All at once: a guest that is frozen is let run again before long, with its worker or without. */
async function holdSaves(where: Readonly<Record<string, { readonly decision: number | null }>>): Promise<LetGo[]> {
  const isLast = ([, { decision }]: [string, { readonly decision: number | null }]): boolean =>
    decision !== null && decision <= lastFrozen;
  const all = Object.entries(where);
  const hold = async ([id, { decision }]: [string, { readonly decision: number | null }]): Promise<LetGo> => {
    await begin(id, 'save', 'capture');
    return decision === null ? haltCapture(id) : holdBefore(id, decision);
  };
  const held = await Promise.all(all.filter((one) => !isLast(one)).map(hold));
  return [...held, ...(await Promise.all(all.filter(isLast).map(hold)))];
}

/** Kills the worker. No successor comes before `letSuccessorCome`, however long the machine takes for what is looked at until then. */
async function killWorker(held: readonly LetGo[]): Promise<number> {
  const worker = await dormouse.workerPid();
  dormouse.haltLauncher();
  const killedMs = performance.now();
  sendSignal(worker, 'SIGKILL');
  await Promise.all(held.map((letGo) => letGo()));
  return killedMs;
}

function letSuccessorCome(): void {
  dormouse.continueLauncher();
}

async function untilTakenOver(id: string, wish: (desktop: DesktopView) => boolean): Promise<DesktopView> {
  return desk(id).desk.until((desktop) => desktop.operation === null && wish(desktop), takeoverPatienceMs);
}

async function expectIntact(id: string): Promise<void> {
  const guest = await bed.guestOf(desk(id).desk);
  expect(await memoryOf(guest)).toEqual(desk(id).memory);
  expect(await guest.read()).toBe(`the disk of ${id}`);
  guest.close();
}

describe('killed while it saves', () => {
  let killedMs: number;

  beforeAll(async () => {
    killedMs = await killWorker(await holdSaves(saves));
  });

  const notStored = rows('ada', 'bob', 'cleo');

  describe('and has no successor', () => {
    afterAll(letSuccessorCome);

    test.each(notStored)('%s: the pager thaws the guest and clears up', async (_, id) => {
      const pager = await desk(id).desk.runDirectory.liveProcess('pager');
      expect(pager === null || (await processEnded(pager, pagerPatienceMs))).toBe(true);
      expect(await desk(id).desk.objects()).toEqual([]);
      expect((await desk(id).desk.view()).operation).toMatchObject({ attempt: 1, status: 'active' });
      expect(desk(id).watch.longestSilenceMs(killedMs)).toBeLessThan(stillMs);
    });
  });

  test.each([...notStored, ...rows('dora')])('%s: the successor saves it anew', async (_, id) => {
    await untilTakenOver(id, ({ state }) => state === 'saved');
    expect(await desk(id).desk.latest('save')).toMatchObject({ status: 'succeeded', attempt: 2 });
  });

  test.each(notStored)('%s: the guest never stood still for long', async (_, id) => {
    await desk(id).watch.stop();
    expect(desk(id).watch.longestSilenceMs(killedMs)).toBeLessThan(stillMs);
  });

  test.each(rows('eve', 'fay'))(
    '%s: the successor ends what was begun, with the checkpoint that exists',
    async (_, id) => {
      const { checkpointId } = await untilTakenOver(id, ({ state }) => state === 'saved');
      const { status, attempt, result } = await desk(id).desk.latest('save');
      expect({ status, attempt }).toEqual({ status: 'succeeded', attempt: 2 });
      expect(result).toMatchObject({ checkpointId, ramBytes: expect.any(Number), storedBytes: expect.any(Number) });
    },
  );

  test.each(Object.keys(saves))('%s has one checkpoint in the end, and no process', async (id) => {
    const { checkpointId } = await desk(id).desk.view();
    let stored: Set<string> = new Set();
    for (let look = 0; look < 100; look++) {
      stored = new Set((await desk(id).desk.objects()).map((path) => path.split('/')[1]!));
      if (stored.size === 1) break;
      await sleep(50);
    }
    expect([...stored]).toEqual([checkpointId]);
    expect([...(await verifyStored(bed.dataDir, id))]).toEqual([[checkpointId, []]]);
    expect(await desk(id).desk.processes()).toEqual([]);
  });
});

describe('killed while it wakes', () => {
  let found: SlowedProcess;

  beforeAll(async () => {
    for (const { guest } of desks.values()) guest.close();
    await desk('fay').desk.command('restore');

    const held: LetGo[] = [];
    await begin('ada', 'restore', 'wake');
    held.push(await holdBefore('ada', 1)); // the guest runs, nobody was told
    await begin('bob', 'restore', 'wake');
    held.push(await holdBefore('bob', 2)); // all memory is there, nobody was told that
    const alone = await haltHydration('cleo');
    held.push(async () => alone.atFullSpeed());
    found = await haltHydration('dora');
    await haltHydration('eve');
    const pagerOfEve = await desk('eve').desk.process('pager');
    held.push(async () => sendSignal(pagerOfEve, 'SIGKILL'));
    await killWorker(held);
  });

  async function haltHydration(id: string): Promise<SlowedProcess> {
    await begin(id, 'restore', 'wake');
    const pager = slowDown(await desk(id).desk.process('pager'));
    await desk(id).desk.until(({ state }) => state === 'hydrating');
    pager.halt();
    return pager;
  }

  describe('and has no successor', () => {
    afterAll(letSuccessorCome);

    test('the pager brings the rest of the memory', async () => {
      const { desk: hydrating, memory } = desk('cleo');
      const guest = await bed.guestOf(hydrating);
      expect(await memoryOf(guest)).toEqual(memory);
      guest.close();
      expect((await hydrating.view()).operation).toMatchObject({ phase: 'hydrate', attempt: 1 });
    });
  });

  test('the successor finds a pager that is still at it, and stays until it is done', async () => {
    const { desk: hydrating } = desk('dora');
    await hydrating.until(({ operation }) => operation?.attempt === 2, takeoverPatienceMs);
    found.atFullSpeed();
    await untilTakenOver('dora', ({ state }) => state === 'grace');
    expect(await hydrating.latest('restore')).toMatchObject({ status: 'succeeded', attempt: 2 });
    await expectIntact('dora');
  });

  test.each([
    ['whose pager went on alone', 'cleo'],
    ['that had all of its memory', 'bob'],
    ['that nobody was told of', 'ada'],
    ['whose pager died too', 'eve'],
  ])('the successor makes good a desktop %s', async (_, id) => {
    await untilTakenOver(id, ({ state }) => state === 'grace');
    expect(await desk(id).desk.latest('restore')).toMatchObject({ status: 'succeeded', attempt: 2, error: null });
    await expectIntact(id);
    expect(await desk(id).desk.runDirectory.liveProcess('pager')).toBeNull();
  });

  test('a desktop that runs is not touched', async () => {
    await expectIntact('fay');
    expect(await desk('fay').desk.view()).toMatchObject({ operation: null, lastError: null });
  });
});

describe('killed while it saves desktops that have a checkpoint', () => {
  const again = ['ada', 'bob', 'cleo', 'dora'] as const;

  beforeAll(async () => {
    await killWorker(await holdSaves(Object.fromEntries(again.map((id) => [id, saves[id]]))));
    letSuccessorCome();
  });

  test.each(rows(...again))(
    '%s: the successor saves it, and every checkpoint that is there is whole',
    async (_, id) => {
      const { checkpointId } = await untilTakenOver(id, ({ state }) => state === 'saved');
      expect(await desk(id).desk.latest('save')).toMatchObject({ status: 'succeeded', attempt: 2, error: null });
      const stored = await verifyStored(bed.dataDir, id);
      expect(stored.has(checkpointId!)).toBe(true);
      for (const findings of stored.values()) expect(findings).toEqual([]);
      expect(await desk(id).desk.command('restore')).toMatchObject({ status: 'succeeded', error: null });
      await expectIntact(id);
    },
  );
});
