import { framePages, pageBytes, type CheckpointReader } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import * as fixture from '../../libs/checkpoint/checkpoint-fixture';
import { ChunkFetcher, type Workshop } from '../../apps/pager/serve/chunk-fetcher';
import { Chunks } from '../../apps/pager/serve/chunks';

/** What a MiB holds of such pages, tags and all; the frames are wide enough for two reads ahead and more. */
const framesInRead = 15;
const frames = 70;
const pages = Array.from({ length: frames * framePages }, (_, page) => fixture.wild(page));
const workshop: Workshop = { hasher: fixture.hasher, memory: Buffer.alloc(0) };

let files: fixture.TestStore;
let reads: number;
let fails: boolean;
let checkpoint: CheckpointReader;
let fetcher: ChunkFetcher;

beforeEach(async () => {
  files = await fixture.TestStore.create();
  await fixture.write(await files.open(), pages);
  const store = await files.open();
  const counting: BlobStore = fixture.bend(store, {
    read: (key, range) => {
      if (fails) return Promise.reject(new DormouseError('STORAGE_FAILED', 'not now'));
      reads++;
      return store.read(key, range);
    },
  });
  fails = false;
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
  expect(fetched.map(({ content }, n) => content.equals(contentOf(30 + n)))).toEqual(Array(5).fill(true));
  expect(reads).toBe(readAhead);
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
