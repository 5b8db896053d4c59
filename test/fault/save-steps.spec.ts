import { setTimeout as sleep } from 'node:timers/promises';
import {
  collectObjects,
  CheckpointWriter,
  objectKeys,
  pageBytes,
  PreviousCheckpoint,
  readManifest,
} from '@dormouse/checkpoint';
import { verifyCheckpoint } from '@dormouse/checkpoint-tools';
import { isDormouseError, type ErrorCode } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import * as fixture from '../../libs/checkpoint/checkpoint-fixture';
import { TestShelf } from '../../libs/checkpoint-tools/handmade-checkpoint';
import { Death, failing, Hang, SteppedStore } from './storage-steps';

/**
 * A desktop has a checkpoint and is saved a second time, on a real file store, over and over: each time something happens at
 * the next step that the save takes in the storage, until it comes to its end before. Whatever it was, the first checkpoint
 * is whole, the second is whole or none, and nothing is left of what failed.
 */

jest.setTimeout(180_000);

const { desktopId } = fixture.identity;
const idOf = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`;
const [first, second, third] = [idOf(1), idOf(2), idOf(3)];
const pages = 320;

const image = Buffer.concat(Array.from({ length: 8 }, (_, n) => fixture.wild(100_000 + n)));
const layer = Buffer.concat(Array.from({ length: 8 }, (_, n) => fixture.wild(200_000 + n)));
const sources = { 'image/0': image, 'generation-7/0': layer };
const blockOf = (content: Buffer, n: number): Buffer => content.subarray(n * pageBytes, (n + 1) * pageBytes);

/** Some zeros, some blocks of the image, some of a layer; of the rest half compresses. */
const memoryOf = (count: number, seedOf: (page: number) => number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, page) => {
      if (page % 30 === 0) return Buffer.alloc(pageBytes);
      if (page % 30 === 1) return blockOf(image, page % 8);
      if (page % 30 === 2) return blockOf(layer, page % 8);
      return page % 2 === 0 ? fixture.wild(seedOf(page)) : fixture.dull(seedOf(page));
    }),
  );
const memories: Record<string, Buffer> = {
  [first]: memoryOf(pages, (page) => page % 100),
  [second]: memoryOf(pages, (page) => (page < 100 ? page : 10_000 + (page % 150))),
  [third]: memoryOf(pages, (page) => (page < 200 ? page + 20_000 : page % 100)),
};

let shelf: TestShelf;
let store: BlobStore;
let disks: fixture.DisksInMemory;

beforeAll(async () => {
  shelf = await TestShelf.make();
  for (const [name, content] of Object.entries(sources)) await shelf.write(shelf.file(name), content);
  disks = new fixture.DisksInMemory(sources);
  store = await shelf.store();
  await save(store, first, null);
});
afterAll(() => shelf.remove());

/** A save as the pager does it. */
async function save(
  on: BlobStore,
  checkpointId: string,
  previousId: string | null,
  {
    memory = memories[checkpointId]!,
    begun,
  }: { memory?: Buffer | undefined; begun?: (writer: CheckpointWriter) => void } = {},
): Promise<void> {
  const count = memory.length / pageBytes;
  const previous = previousId === null ? null : await previousOf(on, previousId);
  const writer = writerOf(on, checkpointId, count, previous);
  begun?.(writer);
  try {
    for (let page = 0; page < 40; page++) writer.addPage(page, memory, 3 * pageBytes); // overtaken by what follows
    for (let page = 0; page < count; page++) {
      if (page === count - 10) await writer.catchUp();
      if (page % 30 === 0) writer.addZeroPage(page);
      else writer.addPage(page, memory, page * pageBytes);
      if (writer.saturated) await writer.drained();
    }
    await writer.commit(await writer.seal(fixture.wakePack, fixture.machine));
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

function writerOf(
  on: BlobStore,
  checkpointId: string,
  count: number,
  previous: PreviousCheckpoint | null,
): CheckpointWriter {
  const { keys, hasher } = fixture;
  const options = { keys, hasher, disks, previous, mostRewritten: 40 };
  return new CheckpointWriter(on, { desktopId, checkpointId }, fixture.blocksOf(count), options);
}

/** One that cannot be read is no reason not to save. */
async function previousOf(on: BlobStore, checkpointId: string): Promise<PreviousCheckpoint | null> {
  try {
    return await PreviousCheckpoint.load(on, { desktopId, checkpointId }, fixture.dataKey, () => true);
  } catch (error) {
    if (!isDormouseError(error)) throw error;
    return null;
  }
}

async function expectWhole(checkpointId: string): Promise<void> {
  const fresh = await shelf.store();
  const report = await verifyCheckpoint({
    store: fresh,
    desktopId,
    checkpointId,
    keys: fixture.keys,
    diskFiles: shelf.file,
  });
  await fresh.close();
  expect(report).toMatchObject({ depth: 'contents', findings: [], notChecked: [] });
}

async function storedKeys(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  return keys.sort();
}

const exists = async (checkpointId: string): Promise<boolean> =>
  (await storedKeys()).includes(objectKeys(desktopId, checkpointId).manifest);

/** Every object that these checkpoints consist of. */
async function objectsOf(...checkpointIds: string[]): Promise<string[]> {
  const keys = new Set<string>();
  for (const checkpointId of checkpointIds) {
    const own = objectKeys(desktopId, checkpointId);
    for (const key of [own.manifest, own.pageMap, own.knownPages, own.wakePack, own.wakePages]) keys.add(key);
    const { packs } = await readManifest(store, { desktopId, checkpointId }, null);
    for (const pack of packs) keys.add(objectKeys(desktopId, pack.checkpointId).pack(pack.number));
  }
  return [...keys].sort();
}

/** Removes what none of these needs. */
const sweep = (on: BlobStore, { kept }: { kept: readonly string[] }) =>
  collectObjects(on, desktopId, {
    standings: (ids) =>
      Promise.resolve(
        [...new Set([...ids, ...kept])].map((id) => ({ id, standing: kept.includes(id) ? 'kept' : 'gone' }) as const),
      ),
    unneededBeforeMs: Infinity,
  });

/** What was kept is there and nothing else, and the desktop can be saved again; then there is the first one only. */
async function expectClearedUp(): Promise<void> {
  const kept = (await exists(second)) ? [first, second] : [first];
  for (const one of kept) await expectWhole(one);
  await sweep(store, { kept });
  expect(await storedKeys()).toEqual(await objectsOf(...kept));
  await sweep(store, { kept: [first] }); // the ledger knew nothing of the second
  expect(await storedKeys()).toEqual(await objectsOf(first));
  await save(store, third, first);
  await expectWhole(third);
  await sweep(store, { kept: [first] });
  await expectOnlyTheFirst();
}

async function expectOnlyTheFirst(): Promise<void> {
  await expectWhole(first);
  expect(await storedKeys()).toEqual(await objectsOf(first));
}

/** A fate that is met at every step in turn, until the save comes to its end before; how many steps it met. */
async function whichever(meet: (step: number) => Promise<'met' | 'came to its end'>): Promise<number> {
  for (let step = 1; ; step++) if ((await meet(step)) === 'came to its end') return step - 1;
}

test('the save that is walked takes every kind of step', async () => {
  const stepped = new SteppedStore(store, (act) => act());
  await save(stepped, second, first);
  const { prefix } = objectKeys(desktopId, second);
  const seen = stepped.steps.map(({ action, key }) => `${action} ${key.replace(prefix, '')}`);
  for (const name of ['pack-00000', 'wake-pages', 'wake-pack', 'page-map', 'known-pages', 'manifest']) {
    for (const action of ['create', 'write', 'commit']) expect(seen).toContain(`${action} ${name}`);
  }
  expect(stepped.steps.map(({ action }) => action)).toEqual(expect.arrayContaining(['readStart', 'list']));
  const { pages: counts } = await readManifest(store, { desktopId, checkpointId: second }, null);
  const { zero, previous, disk, duplicate, stored, wakeSet } = counts;
  expect(Math.min(zero, previous, disk, duplicate, stored, wakeSet)).toBeGreaterThan(0);
  await expectClearedUp();
});

describe('a save that is killed leaves the checkpoint before and can be repeated', () => {
  test.each(['before', 'after'] as const)('%s any of its steps', async (when) => {
    const steps = await whichever((step) => killedAt(step, when));
    expect(steps).toBeGreaterThan(18);
  });

  test('when one pack is being made durable and the next has begun', async () => {
    const memory = Buffer.concat(Array.from({ length: 4_500 }, (_, page) => fixture.wild(page + 30_000)));
    const stepped = new SteppedStore(store, (act) => act());
    await save(stepped, second, first, { memory });
    const border = stepped.steps.findIndex(({ action, key }) => action === 'create' && key.endsWith('/pack-00001'));
    expect(border).toBeGreaterThan(0);
    await sweep(store, { kept: [first] });
    for (let step = border; step < border + 4; step++) expect(await killedAt(step, 'before', memory)).toBe('met');
  });

  async function killedAt(step: number, when: 'before' | 'after', memory?: Buffer): Promise<'met' | 'came to its end'> {
    const death = new Death(step, when);
    const dying = new SteppedStore(store, death.fate);
    const killed = await death.ends(save(dying, second, first, { memory }));
    await expectClearedUp();
    await dying.bury();
    return killed ? 'met' : 'came to its end';
  }

  test('at any step of giving up', async () => {
    const steps = await whichever(async (step) => {
      // All is durable, the manifest too, and only the answer to that was lost: giving up has the most to remove.
      await save(store, second, first);
      const death = new Death(step, 'after');
      const dying = new SteppedStore(store, death.fate);
      const killed = await death.ends(writerOf(dying, second, pages, null).abort());
      await expectClearedUp();
      return killed ? 'met' : 'came to its end';
    });
    expect(steps).toBeGreaterThan(5);
  });
});

describe('a save of which one step', () => {
  test.each<[what: string, code: ErrorCode, done: boolean]>([
    ['fails', 'STORAGE_FAILED', false],
    ['finds the storage full', 'STORAGE_FULL', false],
    ['is done but said to have failed', 'STORAGE_FAILED', true],
  ])('%s says so and leaves nothing, or goes through, whichever step it is', async (_, code, done) => {
    let failures = 0;
    await whichever(async (step) => {
      const stepped = new SteppedStore(store, failing(step, code, done));
      const error = await save(stepped, second, first).catch((reason: unknown) => reason);
      if (error === undefined) {
        await expectWhole(second);
        await sweep(store, { kept: [first] });
      } else {
        failures++;
        expect(error).toMatchObject({ code });
      }
      await expectOnlyTheFirst();
      await stepped.bury();
      return stepped.steps.length < step ? 'came to its end' : 'met';
    });
    expect(failures).toBeGreaterThan(13);
  });

  test('is not answered for a while goes through when it is, whichever step it is', async () => {
    await whichever(async (step) => {
      const hang = new Hang(step);
      const saving = save(new SteppedStore(store, hang.fate), second, first);
      const reached = await hang.reachedBy(saving);
      await sleep(5); // for all that does not wait for it
      hang.letGo();
      await saving;
      await expectWhole(second);
      await sweep(store, { kept: [first] });
      await expectOnlyTheFirst();
      return reached ? 'met' : 'came to its end';
    });
  });

  test('is not answered, and that is given up meanwhile, leaves nothing once it is answered', async () => {
    await whichever(async (step) => {
      const hang = new Hang(step);
      let writer: CheckpointWriter | undefined;
      const saving = save(new SteppedStore(store, hang.fate), second, first, { begun: (one) => (writer = one) });
      const outcome = saving.catch((error: unknown) => error);
      if (!(await hang.reachedBy(saving))) {
        await sweep(store, { kept: [first] });
        return 'came to its end';
      }
      await sleep(5);
      const givingUp = writer?.abort();
      await sleep(5);
      hang.letGo();
      await givingUp;
      if (givingUp === undefined)
        await outcome.then(() => sweep(store, { kept: [first] })); // it had not begun to write
      else expect(await outcome).toMatchObject({ code: 'CANCELLED' });
      await expectOnlyTheFirst();
      return 'met';
    });
  });
});
