import type { BlobStore } from '@dormouse/storage';
import * as fixture from './checkpoint-fixture';
import { CheckpointWriter } from './checkpoint-writer';
import { objectKeys } from './object-keys';
import { hashPage } from './page-hash';
import { PreviousCheckpoint } from './previous-checkpoint';

/** What is made durable while the guest still runs, so that a frozen one does not wait for it. */

const { identity, machine, TestStore, wakePack, wild } = fixture;
const { knownPages, pack } = objectKeys(identity.desktopId, identity.checkpointId);

let files: fixture.TestStore;
beforeEach(async () => (files = await TestStore.create()));
afterEach(() => files.remove());

async function given(pages: number, store?: BlobStore): Promise<CheckpointWriter> {
  const options = { keys: fixture.keys, hasher: fixture.hasher };
  const writer = new CheckpointWriter(store ?? (await files.open()), identity, fixture.blocksOf(pages), options);
  for (let page = 0; page < pages; page++) {
    expect(writer.missing).toBe(pages - page);
    writer.addPage(page, wild(page), 0);
    if (writer.saturated) await writer.drained();
  }
  expect(writer.missing).toBe(0);
  return writer;
}

test('all that has come is durable, and what comes after it lies in a pack of its own', async () => {
  const pages = 2_000;
  const writer = await given(pages);
  await writer.catchUp();
  expect(await files.keys()).toEqual([pack(0)]);
  writer.addPage(7, wild(pages), 0);
  await writer.commit(await writer.seal(wakePack, machine));
  expect(await files.keys()).toEqual(expect.arrayContaining([pack(0), pack(1)]));

  const reader = await fixture.open(await files.open());
  expect(reader.manifest.packs).toHaveLength(2);
  const expected = Array.from({ length: pages }, (_, page) => wild(page === 7 ? pages : page));
  expect(fixture.samePages(await fixture.readPages(reader), expected)).toBe(true);
});

test('a little is not worth a pack', async () => {
  const writer = await given(20);
  await writer.catchUp();
  expect(await files.keys()).toEqual([]);
  await writer.commit(await writer.seal(wakePack, machine));
  expect((await fixture.open(await files.open())).manifest.packs).toHaveLength(1);
});

test.each([
  ['much', 2_000],
  ['a little', 32],
])('of %s the page hashes are written, and the rest at the end', async (_, pages) => {
  let bytes = 0;
  const store = fixture.bendWriters(await files.open(), (writer, key) => ({
    write: (chunk) => {
      if (key === knownPages) bytes += chunk.length;
      return writer.write(chunk);
    },
  }));
  const writer = await given(pages, store);
  await writer.catchUp();
  const headerBytes = 16;
  expect(bytes).toBe(headerBytes + pages * 16);
  const late = 8;
  for (let page = 0; page < late; page++) writer.addPage(page, wild(pages + page), 0);
  await writer.commit(await writer.seal(wakePack, machine));

  const previous = await PreviousCheckpoint.load(await files.open(), identity, fixture.dataKey, () => true);
  const isFound = (seed: number): boolean => previous.findFrame(hashPage(fixture.contentKey, wild(seed)), 0) >= 0;
  const expected = Array.from({ length: pages + late }, (_, seed) => seed >= late); // the slots of the first are dead
  expect(expected.map((_, seed) => isFound(seed))).toEqual(expected);
});

test('no hash is forgotten of a frame that is filled later, with frames of an earlier save behind it', async () => {
  const earlier = await given(40);
  await earlier.commit(await earlier.seal(wakePack, machine));
  const store = await files.open();
  const load = (checkpointId: string): Promise<PreviousCheckpoint> =>
    PreviousCheckpoint.load(store, { ...identity, checkpointId }, fixture.dataKey, () => true);
  const second = '0b0e1c1a-0000-4000-8000-000000000002';
  const writer = new CheckpointWriter(store, { ...identity, checkpointId: second }, fixture.blocksOf(40), {
    keys: fixture.keys,
    hasher: fixture.hasher,
    previous: await load(identity.checkpointId),
  });
  for (let page = 0; page < 40; page++) writer.addPage(page, wild(page < 8 ? 100 + page : page), 0);
  await writer.catchUp();
  const late = 14; // most of what this save stores, else its pack would be let go
  for (let page = 0; page < late; page++) writer.addPage(page, wild(200 + page), 0);
  await writer.commit(await writer.seal(wakePack, machine));

  const previous = await load(second);
  const lost = Array.from({ length: late }, (_, page) => 200 + page).filter(
    (seed) => previous.findFrame(hashPage(fixture.contentKey, wild(seed)), 0) < 0,
  );
  expect(lost).toEqual([]);
});

test('given up after that, nothing is left', async () => {
  const writer = await given(2_000);
  await writer.catchUp();
  await writer.abort();
  expect(await files.keys()).toEqual([]);
});

test('a storage that fails is heard of', async () => {
  const store = fixture.bendWriters(await files.open(), () => ({ commit: () => Promise.reject(new Error('no disk')) }));
  const options = { keys: fixture.keys, hasher: fixture.hasher };
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(2_000), options);
  for (let page = 0; page < 2_000; page++) writer.addPage(page, wild(page), 0);
  await expect(writer.catchUp()).rejects.toThrow('no disk');
  await writer.abort();
  expect(await files.keys()).toEqual([]);
});
