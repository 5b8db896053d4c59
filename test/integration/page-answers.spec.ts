import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { framePages, StoredCheckpoint } from '@dormouse/checkpoint';
import * as fixture from '../../libs/checkpoint/checkpoint-fixture';
import { ChunkFetcher } from '../../apps/pager/serve/chunk-fetcher';
import { Chunks } from '../../apps/pager/serve/chunks';
import { GuestMemory } from '../../apps/pager/serve/guest-memory';
import { PageAnswers } from '../../apps/pager/serve/page-answers';
import { PageStream } from '../../apps/pager/serve/page-stream';
import { WakeRecord } from '../../apps/pager/serve/wake-record';

/** Frames of pages like no other, in the order of the memory; behind them zero pages. */
const frames = 8;
const zeroesFrom = frames * framePages;
const pages = Array.from({ length: zeroesFrom + 200 }, (_, page) => (page < zeroesFrom ? fixture.wild(page) : null));

let files: fixture.TestStore;
let stream: PageStream;
let record: WakeRecord;
let answers: PageAnswers;

beforeEach(async () => {
  files = await fixture.TestStore.create();
  const store = await files.open();
  await fixture.write(store, pages);
  const found = await StoredCheckpoint.find(store, fixture.identity, fixture.dataKey);
  const checkpoint = await found.pages(fixture.keys);
  const chunks = new Chunks(checkpoint);
  const fetcher = new ChunkFetcher(checkpoint, chunks, () => undefined);
  const socket = new Writable({ write: (_part, _encoding, done) => done() });
  stream = new PageStream(new GuestMemory(found.manifest.blocks), socket);
  record = new WakeRecord();
  answers = new PageAnswers(Promise.resolve({ checkpoint, chunks, fetcher, hasher: fixture.hasher }), stream, record);
});
afterEach(() => files.remove());

async function asksFor(...asked: number[]): Promise<void> {
  for (const page of asked) await answers.answer({ first: page, end: page + 1 });
  await sleep(1); // the stream has taken it all by then
}

const sent = (): number[] => pages.flatMap((_, page) => (stream.isSent(page) ? [page] : []));
const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, n) => first + n);

test('a guest that wakes gets what it asks for and no more, to show what it wants', async () => {
  await asksFor(5, 6, 7, 40);
  expect(sent()).toEqual([5, 6, 7, 40]);
  expect([...record.requests().pages]).toEqual([5, 6, 7, 40]);
});

test('zero pages come with the one that is asked for, and count as no request', async () => {
  await asksFor(zeroesFrom + 70);
  expect(sent()).toEqual(range(Math.floor((zeroesFrom + 70) / 64) * 64, 64));
  expect([...record.requests().pages]).toEqual([zeroesFrom + 70]);
});

test('zero pages beside pages of another kind leave those alone', async () => {
  await asksFor(zeroesFrom + 1);
  expect(sent().every((page) => page >= zeroesFrom)).toBe(true);
});

test('memory that a guest takes comes a chunk at a time, once it is known what it wants', async () => {
  answers.expectTaking();
  await asksFor(46, 45, 44);
  expect(sent()).toEqual(range(32, framePages));
  await asksFor(62);
  expect(sent()).toEqual(range(32, 2 * framePages));
  await asksFor(5);
  expect(sent()).toEqual([5, ...range(32, 2 * framePages)]);
});

test('once it has woken, all that was read with a page comes with it', async () => {
  await asksFor(3);
  expect(answers.withCompanions()).toEqual([0]);
  await asksFor(70);
  expect(sent()).toEqual([3, ...range(4 * framePages, 4 * framePages)]);
  expect([...record.requests().pages]).toEqual([3, 70]);
});
