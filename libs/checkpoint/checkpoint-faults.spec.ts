import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import { CheckpointWriter } from './checkpoint-writer';
import * as fixture from './checkpoint-fixture';
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
  new CheckpointWriter(on, identity, fixture.blocksOf(pages), { keys: fixture.keys, hasher: fixture.hasher });

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
    ['with the wake pack, the page map or the known pages', 20 * MiB + 6_000],
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

  test.each(['pack', 'wake-pack', 'page-map', 'known-pages'])(
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
  let given = 0;
  const memory = Buffer.concat(Array.from({ length: (17 * MiB) / pageBytes }, (_, page) => wild(page)));
  for (; !writer.saturated && given < pages; given++) writer.addPage(given, memory, given * pageBytes);
  expect(given * pageBytes).toBe(16 * MiB);
  await sleep(50);
  expect(writer.saturated).toBe(true);
  stuck.open();
  await writer.drained();
  expect(writer.saturated).toBe(false);
  await writer.abort();
});

test('packs that a store does not make durable do not pile up before it', async () => {
  const stuck = gate();
  const slow = fixture.bendWriters(store, (real) => ({ commit: () => stuck.opened.then(() => real.commit()) }));
  const pages = (96 * MiB) / pageBytes;
  const writer = writerOf(slow, pages);
  let given = 0;
  const give = async (): Promise<void> => {
    for (; given < pages; given++) {
      writer.addPage(given, wild(given), 0);
      if (writer.saturated) await writer.drained();
    }
  };
  const giving = give();
  await Promise.race([giving, sleep(4_000)]);
  // One on its way, one full, and what is on its way to the next.
  expect(given * pageBytes).toBeLessThanOrEqual(48 * MiB);
  stuck.open();
  await giving;
  await writer.abort();
});

describe('sweeping a desktop', () => {
  const ids = ['1', '2', '3'].map((n) => `00000000-0000-4000-8000-00000000000${n}`);
  const [first, second, third] = ids as [string, string, string];
  const pages = (seed: number): Buffer[] => Array.from({ length: 40 }, (_, n) => wild(seed + n));
  const sweep = (on: BlobStore, kept: string[], writing: string[] = []) => fixture.collect(on, { kept, writing });

  async function readsWhole(checkpointId: string, expected: (Buffer | null)[]): Promise<void> {
    const reader = await fixture.open(await files.open(), { ...identity, checkpointId }, fixture.keys);
    expect(fixture.samePages(await fixture.readPages(reader), expected)).toBe(true);
  }

  /** Three checkpoints, the second and the third with pages of the first. */
  const contents = [
    pages(0),
    [...pages(0).slice(0, 30), ...pages(500).slice(0, 10)],
    pages(0).map((page, n) => (n === 7 ? wild(900) : page)),
  ];
  beforeEach(async () => {
    await fixture.write(store, contents[0]!, { ...identity, checkpointId: first });
    await fixture.writeAfter(store, first, contents[1]!, second);
    await fixture.writeAfter(store, second, contents[2]!, third);
  });

  test('removes what no kept checkpoint names, and keeps packs of the others that it does', async () => {
    await sweep(store, [third]);
    await readsWhole(third, contents[2]!);
    const keysLeft = await files.keys();
    expect(keysLeft.filter((key) => key.endsWith('/manifest'))).toEqual([
      objectKeys(identity.desktopId, third).manifest,
    ]);
    expect(keysLeft).toContain(objectKeys(identity.desktopId, first).pack(0));
    await sweep(store, []);
    expect(await files.keys()).toEqual([]);
  });

  test('leaves alone what is being written, and other desktops', async () => {
    const other = { desktopId: 'desk-12', checkpointId: first };
    await fixture.write(store, pages(3), other);
    const writer = new CheckpointWriter(store, identity, fixture.blocksOf(300), {
      keys: fixture.keys,
      hasher: fixture.hasher,
    });
    for (let page = 0; page < 300; page++) writer.addPage(page, wild(5_000 + page), 0);
    const sealed = await writer.seal(wakePack, machine);
    await sweep(store, [second], [identity.checkpointId]);
    await writer.commit(sealed);
    await readsWhole(
      identity.checkpointId,
      Array.from({ length: 300 }, (_, page) => wild(5_000 + page)),
    );
    const reader = await fixture.open(store, other, fixture.keys);
    expect(fixture.samePages(await fixture.readPages(reader), pages(3))).toBe(true);
  });

  test('removes nothing when a kept manifest cannot be read', async () => {
    const before = await files.keys();
    await files.change(objectKeys(identity.desktopId, second).manifest, Buffer.from('dormouse-manifest 9 x y\n{}'));
    await expect(sweep(store, [second])).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
    expect(await files.keys()).toEqual(before);
  });

  test('killed after any number of objects leaves every kept checkpoint whole, and the next sweep does the rest', async () => {
    for (let killedAt = 0; ; killedAt++) {
      let left = killedAt;
      const dying = fixture.bend(store, {
        delete: (key) => (left-- > 0 ? store.delete(key) : Promise.reject(new Error('killed'))),
      });
      const outcome = await sweep(dying, [third]).then(
        () => 'done',
        (error: Error) => error.message,
      );
      await readsWhole(third, contents[2]!);
      for (const gone of [first, second]) {
        const manifest = objectKeys(identity.desktopId, gone).manifest;
        if (!(await files.keys()).includes(manifest)) continue;
        await readsWhole(gone, contents[gone === first ? 0 : 1]!); // with its manifest still there it is whole
      }
      if (outcome === 'done') break;
      expect(outcome).toBe('killed');
    }
    expect(
      (await files.keys()).filter((key) => key.startsWith(objectKeys(identity.desktopId, second).manifest)),
    ).toEqual([]);
  });
});
