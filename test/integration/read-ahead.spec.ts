import { framePages, noPage, pageBytes, type CheckpointReader } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import * as fixture from '../../libs/checkpoint/checkpoint-fixture';
import { ChunkFetcher, type Workshop } from '../../apps/pager/serve/chunk-fetcher';
import { Chunks } from '../../apps/pager/serve/chunks';
import { planReadAhead } from '../../apps/pager/serve/read-ahead-plan';

/** What 4 MiB hold of such pages, tags and all; the frames are wide enough for two reads ahead. */
const framesInRead = 63;
const frames = 70;
const pages = Array.from({ length: frames * framePages }, (_, page) => fixture.wild(page));
const workshop: Workshop = { hasher: fixture.hasher, memory: Buffer.alloc(0) };

let files: fixture.TestStore;
let reads: number;
let fails: boolean;
/** Reads of more than this wait for it. */
let slow: { readonly bytes: number; readonly until: Promise<void> } | null;
let checkpoint: CheckpointReader;
let fetcher: ChunkFetcher;

beforeEach(async () => {
  files = await fixture.TestStore.create();
  await fixture.write(await files.open(), pages);
  const store = await files.open();
  const counting: BlobStore = fixture.bend(store, {
    read: async (key, range) => {
      if (fails) throw new DormouseError('STORAGE_FAILED', 'not now');
      reads++;
      if (slow !== null && (range?.length ?? 0) > slow.bytes) await slow.until;
      return store.read(key, range);
    },
  });
  fails = false;
  slow = null;
  checkpoint = await fixture.open(counting);
  fetcher = new ChunkFetcher(checkpoint, new Chunks(checkpoint), () => undefined);
  reads = 0;
});
afterEach(() => files.remove());

const contentOf = (chunk: number): Buffer => Buffer.concat(pages.slice(chunk * framePages, (chunk + 1) * framePages));

test('what was read ahead is not read again, by a guest that waits or by the fill', async () => {
  await fetcher.readAhead(null, new AbortController().signal);
  const readAhead = reads;
  expect(readAhead).toBeLessThanOrEqual(Math.ceil(frames / framesInRead) + 1); // a pack may end in between
  for (const chunk of [0, 33, frames - 1]) {
    const { content, placeOf } = await fetcher.fetch(chunk);
    expect(content.equals(contentOf(chunk))).toBe(true);
    expect(placeOf(chunk * framePages + 3)).toBe(3 * 4096);
  }
  const fetched = await fetcher.fetchAll(30, 5, workshop);
  for (let chunk = 30; chunk < 35; chunk++) expect(fetched.open(chunk).content.equals(contentOf(chunk))).toBe(true);
  expect(reads).toBe(readAhead);
});

test('who fetches little by little, one after the other, has it read in large pieces', async () => {
  for (let chunk = 0; chunk < frames; chunk++) {
    const fetched = await fetcher.fetchAll(chunk, fetcher.alike(chunk, 1), workshop, 1024 * 1024);
    expect(fetched.open(chunk).content.equals(contentOf(chunk))).toBe(true);
  }
  expect(reads).toBeLessThanOrEqual(frames / 15 + 1); // a pack may end in between
});

test('of chunks some of which have been read, those are fetched together of which that is true, or is not', async () => {
  await fetcher.fetchAll(20, 1, workshop, 512 * 1024);
  expect(fetcher.alike(18, 6)).toBe(3);
  expect(fetcher.alike(21, 20)).toBe(6);
  const before = reads;
  const fetched = await fetcher.fetchAll(21, 6, workshop);
  for (let chunk = 21; chunk < 27; chunk++) expect(fetched.open(chunk).content.equals(contentOf(chunk))).toBe(true);
  expect(reads).toBe(before);
});

test('it ends when it is stopped, and the rest is read when it is asked for', async () => {
  await fetcher.readAhead(null, AbortSignal.abort());
  expect(reads).toBe(0);
  expect((await fetcher.fetch(5)).content.equals(contentOf(5))).toBe(true);
  expect(reads).toBe(1);
});

test('a store that does not answer is waited for, and what it holds comes after all', async () => {
  fails = true;
  const reading = fetcher.readAhead(null, new AbortController().signal);
  const asked = fetcher.fetch(1);
  fails = false;
  expect((await asked).content.equals(contentOf(1))).toBe(true);
  await reading;
});

test('a page that is on its way with much else is read with little else', async () => {
  let arrive = (): void => undefined;
  slow = { bytes: 1024 * 1024, until: new Promise((resolve) => (arrive = resolve)) };
  const reading = fetcher.readAhead(null, new AbortController().signal);
  expect((await fetcher.fetch(1)).content.equals(contentOf(1))).toBe(true);
  expect(reads).toBe(3); // two of them large, and not there yet
  arrive();
  await reading;
  expect((await fetcher.fetch(40)).content.equals(contentOf(40))).toBe(true);
  expect(reads).toBe(3);
});

test('what lies behind a chunk and its neighbours is read for a guest that goes on there, up to the end of the pack', async () => {
  await fetcher.fetch(1);
  fetcher.readBehind(1);
  expect(reads).toBe(2);
  expect((await fetcher.fetch(6)).content.equals(contentOf(6))).toBe(true);
  expect(reads).toBe(2);
  await fetcher.fetch(frames - 1);
  const before = reads;
  fetcher.readBehind(frames - 1);
  expect(reads).toBe(before);
});

test('of what is wanted the frames near it are read, and what lies in a narrow gap between them', () => {
  const page = (frame: number): number => frame * framePages + 3;
  expect([...planReadAhead(checkpoint, [page(5), page(61)])]).toEqual([
    { first: 4, count: 2 },
    { first: 60, count: 2 },
  ]);
  expect([...planReadAhead(checkpoint, [page(5), page(10)])]).toEqual([{ first: 4, count: 8 }]);
  expect([...planReadAhead(checkpoint, [noPage])]).toEqual([]);
});

test('a small pack is read whatever is wanted, and first', async () => {
  const second = '0b0e1c1a-0000-4000-8000-000000000002';
  const changed = pages.map((content, n) => (n < framePages ? fixture.wild(n + 10_000) : content));
  await fixture.writeAfter(await files.open(), fixture.identity.checkpointId, changed, second);
  checkpoint = await fixture.open(await files.open(), { ...fixture.identity, checkpointId: second });
  const plan = [...planReadAhead(checkpoint, [40 * framePages])];
  expect(
    plan
      .map(({ first }) => checkpoint.frames.packOf(first))
      .map((pack) => checkpoint.manifest.packs[pack]!.checkpointId),
  ).toEqual([second, fixture.identity.checkpointId]);
});

test('of what was asked for 16 MiB are kept, those that were asked for last', async () => {
  const runs = 80; // of four frames of 64 KiB
  const many = Array.from({ length: runs * 4 * framePages }, (_, page) => fixture.wild(page));
  const id = '0b0e1c1a-0000-4000-8000-000000000003';
  await fixture.write(await files.open(), many, { ...fixture.identity, checkpointId: id });
  const store = await files.open();
  const counting = fixture.bend(store, { read: (key, range) => (reads++, store.read(key, range)) });
  checkpoint = await fixture.open(counting, { ...fixture.identity, checkpointId: id });
  fetcher = new ChunkFetcher(checkpoint, new Chunks(checkpoint), () => undefined);
  reads = 0;
  for (let run = 0; run < runs; run++) {
    await fetcher.fetch(run * 4);
    await fetcher.fetch(0);
  }
  expect(reads).toBe(runs);
  await fetcher.fetch((runs - 40) * 4);
  expect(reads).toBe(runs);
  await fetcher.fetch(4);
  expect(reads).toBe(runs + 1);
});

test('what a second checkpoint takes from the first is read as it lies there, over what it no longer needs', async () => {
  const second = '0b0e1c1a-0000-4000-8000-000000000002';
  const changed = pages.map((content, page) =>
    Math.floor(page / framePages) % 3 === 0 ? fixture.wild(page + 10_000) : content,
  );
  const store = await files.open();
  await fixture.writeAfter(store, fixture.identity.checkpointId, changed, second);
  const readFrom: string[] = [];
  const counting = fixture.bend(store, {
    read: (key, range) => {
      if (range !== undefined) readFrom.push(key);
      return store.read(key, range);
    },
  });
  checkpoint = await fixture.open(counting, { ...fixture.identity, checkpointId: second });
  const chunks = new Chunks(checkpoint);
  fetcher = new ChunkFetcher(checkpoint, chunks, () => undefined);
  readFrom.length = 0;
  await fetcher.readAhead(null, new AbortController().signal);
  expect(readFrom.length).toBeLessThanOrEqual(
    Math.ceil(frames / framesInRead) + Math.ceil(frames / 3 / framesInRead) + 1,
  );
  expect(readFrom[0]).toContain(second); // what has changed since is little, and wanted first
  expect(readFrom.at(-1)).toContain(fixture.identity.checkpointId);
  for (const page of [0, 5 * framePages, 6 * framePages + 1, changed.length - 1]) {
    const { content, placeOf } = await fetcher.fetch(chunks.chunkOf(page));
    const at = placeOf(page);
    expect(content.subarray(at, at + pageBytes).equals(changed[page]!)).toBe(true);
  }
});
