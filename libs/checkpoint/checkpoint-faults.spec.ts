import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import { CheckpointReader } from './checkpoint-reader';
import { CheckpointWriter } from './checkpoint-writer';
import * as fixture from './checkpoint-fixture';
import { deleteCheckpoint } from './delete-checkpoint';
import { pageBytes } from './layout';
import { objectKeys } from './object-keys';

const { dull, identity, machine, wakePack, wild } = fixture;
const keys = objectKeys(identity.desktopId, identity.checkpointId);
const MiB = 2 ** 20;

let files: fixture.TestStore;
let store: BlobStore;

beforeEach(async () => {
  files = await fixture.TestStore.create();
  store = await files.open();
});
afterEach(() => files.remove());

const writerOf = (on: BlobStore, pages: number): CheckpointWriter =>
  new CheckpointWriter(on, identity, fixture.blocksOf(pages));

async function writeAll(writer: CheckpointWriter, pages: number): Promise<void> {
  for (let page = 0; page < pages; page++) {
    writer.addPage(page, wild(page), 0);
    if (writer.saturated) await writer.drained();
  }
  await writer.commit(await writer.seal(wakePack, machine));
}

/** The real store on a disk of `bytes`. */
function withRoomFor(bytes: number): BlobStore {
  let left = bytes;
  return fixture.bendWriters(store, (writer, key) => {
    let failed = false;
    return {
      write: async (chunk) => {
        left -= chunk.length;
        if (left >= 0) return writer.write(chunk);
        failed = true;
        await writer.write(chunk.subarray(0, Math.max(chunk.length + left, 0))); // as a disk does, to its last byte
        throw new DormouseError('STORAGE_FULL', `no space left while writing '${key}'`, { key });
      },
      commit: async () => {
        if (failed) throw new DormouseError('STORAGE_FAILED', `the writer of '${key}' has ended`, { key });
        return writer.commit();
      },
    };
  });
}

/** A promise that is kept from outside. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

describe('a storage that is full', () => {
  test.each([
    ['in the first pack', 100_000],
    ['in the midst of the pages', 5 * MiB],
    ['with the last of the pages', 20 * MiB - 1],
    ['with the wake pack or the page map', 20 * MiB + 310],
  ])('%s is what the writer says, and giving up leaves nothing', async (_, bytes) => {
    const pages = (20 * MiB) / pageBytes;
    const writer = writerOf(withRoomFor(bytes), pages);
    await expect(writeAll(writer, pages)).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    await writer.abort();
    expect(await files.keys()).toEqual([]);
  });

  test('at the very commit leaves no checkpoint, and giving up leaves nothing', async () => {
    const full = fixture.bendWriters(store, (_, key) =>
      key === keys.manifest
        ? { commit: () => Promise.reject(new DormouseError('STORAGE_FULL', 'no space left', { key })) }
        : {},
    );
    const writer = writerOf(full, 300);
    await expect(writeAll(writer, 300)).rejects.toMatchObject({
      code: 'STORAGE_FULL',
      details: { key: keys.manifest },
    });
    expect(await files.keys()).not.toContain(keys.manifest);
    await writer.abort();
    expect(await files.keys()).toEqual([]);
  });

  test('is told to whoever adds the next page', async () => {
    const writer = writerOf(withRoomFor(1), 600);
    for (let page = 0; page < 256; page++) writer.addPage(page, wild(page), 0);
    await expect(untilItThrows(() => writer.addPage(300, wild(1), 0))).resolves.toMatchObject({ code: 'STORAGE_FULL' });
    await expect(writer.drained()).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    await writer.abort();
  });

  test('when a full pack is made durable in the background is told as well', async () => {
    const pages = (130 * MiB) / pageBytes;
    const full = fixture.bendWriters(store, (_, key) => ({
      commit: () => Promise.reject(new DormouseError('STORAGE_FULL', 'no space left', { key })),
    }));
    const writer = writerOf(full, pages);
    await expect(writeAll(writer, pages)).rejects.toMatchObject({
      code: 'STORAGE_FULL',
      details: { key: keys.pack(0) },
    });
    await writer.abort();
    expect(await files.keys()).toEqual([]);
  });
});

async function untilItThrows(action: () => void): Promise<unknown> {
  for (;;) {
    try {
      action();
    } catch (error) {
      return error;
    }
    await new Promise(setImmediate);
  }
}

describe('giving up', () => {
  const pages = 700;

  test.each([0, 1, 300, 699])('after %i pages leaves nothing', async (given) => {
    const writer = writerOf(store, pages);
    for (let page = 0; page < given; page++) writer.addPage(page, wild(page), 0);
    await writer.abort();
    expect(await files.keys()).toEqual([]);
    expect(() => writer.addPage(1, wild(1), 0)).toThrow(expect.objectContaining({ code: 'CANCELLED' }));
  });

  test('between seal and commit leaves nothing', async () => {
    const writer = writerOf(store, pages);
    for (let page = 0; page < pages; page++) writer.addPage(page, wild(page), 0);
    await writer.seal(wakePack, machine);
    await writer.abort();
    expect(await files.keys()).toEqual([]);
  });

  test.each(['pack', 'wake-pack', 'page-map'])(
    'while the %s is being made durable leaves nothing, and nothing comes after it',
    async (slow) => {
      const [reached, held] = [gate(), gate()];
      const slowStore = fixture.bendWriters(store, (writer, key) => ({
        commit: async () => {
          if (key.startsWith(keys.prefix + slow)) {
            reached.open();
            await held.opened;
          }
          return writer.commit();
        },
      }));
      const writer = writerOf(slowStore, pages);
      for (let page = 0; page < pages; page++) writer.addPage(page, wild(page), 0);
      const sealed = writer.seal(wakePack, machine);
      const refused = expect(sealed).rejects.toMatchObject({ code: 'CANCELLED' });
      await reached.opened;
      const aborted = writer.abort();
      await Promise.race([aborted, sleep(50)]); // it must not be done before what is on its way is
      held.open();
      await aborted;
      expect(await files.keys()).toEqual([]);
      await refused;
      expect(await files.keys()).toEqual([]);
    },
  );

  test('wakes whoever waits for room', async () => {
    const stuck = gate();
    const writer = writerOf(
      fixture.bendWriters(store, (real) => ({ write: (chunk) => stuck.opened.then(() => real.write(chunk)) })),
      10_000,
    );
    for (let page = 0; !writer.saturated; page++) writer.addPage(page, dull(page), 0);
    const waiting = expect(writer.drained()).rejects.toMatchObject({ code: 'CANCELLED' });
    const aborted = writer.abort();
    await waiting;
    stuck.open();
    await aborted;
  });
});

test('a store that is slow makes the writer saturated after 16 MiB, until it has caught up', async () => {
  const stuck = gate();
  const slow = fixture.bendWriters(store, (real) => ({ write: (chunk) => stuck.opened.then(() => real.write(chunk)) }));
  const pages = (64 * MiB) / pageBytes;
  const writer = writerOf(slow, pages);
  const page = wild(1);
  let given = 0;
  for (; !writer.saturated && given < pages; given++) writer.addPage(given, page, 0);
  expect(given * pageBytes).toBe(16 * MiB);
  await sleep(50);
  expect(writer.saturated).toBe(true);
  stuck.open();
  await writer.drained();
  expect(writer.saturated).toBe(false);
  await writer.abort();
});

describe('removing a checkpoint', () => {
  const neighbours = ['0b0e1c1a-0000-4000-8000-0000000000010', '0b0e1c1a'];
  const remove = (on: BlobStore): Promise<void> => deleteCheckpoint(on, identity.desktopId, identity.checkpointId);

  beforeEach(async () => {
    await fixture.write(store, [dull(1), wild(1), null]);
    for (const checkpointId of neighbours) await fixture.write(store, [dull(2)], { ...identity, checkpointId });
  });

  test('leaves none of its objects and every object of those with a name like its own', async () => {
    await remove(store);
    expect((await files.keys()).filter((key) => key.startsWith(keys.prefix))).toEqual([]);
    for (const checkpointId of neighbours) {
      const reader = await CheckpointReader.open(store, identity.desktopId, checkpointId);
      expect((await fixture.readPages(reader))[0]!.equals(dull(2))).toBe(true);
    }
    await remove(store); // nothing is left to do
  });

  test.each([1, 2, 3])(
    'killed after %i objects leaves no manifest, and the next removal does the rest',
    async (done) => {
      let left = done;
      const dying = fixture.bend(store, {
        delete: (key) => (left-- > 0 ? store.delete(key) : Promise.reject(new Error('killed'))),
      });
      await expect(remove(dying)).rejects.toThrow('killed');
      const opening = CheckpointReader.open(store, identity.desktopId, identity.checkpointId);
      await expect(opening).rejects.toMatchObject({ code: 'CHECKPOINT_UNKNOWN' });
      const kept = (await files.keys()).filter((key) => key.startsWith(keys.prefix));
      expect(kept).not.toContain(keys.manifest);
      expect(kept.length).toBe(4 - done);
      await remove(store);
      expect((await files.keys()).filter((key) => key.startsWith(keys.prefix))).toEqual([]);
    },
  );
});
