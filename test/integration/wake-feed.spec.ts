import { Writable } from 'node:stream';
import { setImmediate as immediate } from 'node:timers/promises';
import { segmentPages, StoredCheckpoint, type WakeHead } from '@dormouse/checkpoint';
import * as fixture from '../../libs/checkpoint/checkpoint-fixture';
import { GuestMemory } from '../../apps/pager/serve/guest-memory';
import { PageAnswers } from '../../apps/pager/serve/page-answers';
import { PageStream } from '../../apps/pager/serve/page-stream';
import { WakeFeed } from '../../apps/pager/serve/wake-feed';
import { WakeRecord } from '../../apps/pager/serve/wake-record';

const pages = Array.from({ length: 300 }, (_, page) => fixture.wild(page));
/** From the last page to the first; more than two segments. */
const wakeSet = Uint32Array.from({ length: 2 * segmentPages + 10 }, (_, n) => pages.length - 1 - n);

let files: fixture.TestStore;
let head: WakeHead;
let feed: WakeFeed;
let written: Buffer[];
let stream: PageStream;

beforeEach(async () => {
  files = await fixture.TestStore.create();
  const store = await files.open();
  const choice = { pages: wakeSet, ranksMs: new Uint32Array(wakeSet.length), workingSet: Buffer.alloc(0) };
  await fixture.write(store, pages, fixture.identity, fixture.wakePack, {
    wakeSet: { candidates: wakeSet, choose: () => choice },
  });
  const found = await StoredCheckpoint.find(store, fixture.identity, fixture.dataKey);
  const wakePack = found.wakePack();
  head = await wakePack.head();
  feed = new WakeFeed(wakePack, head);
  written = [];
  const socket = new Writable({ write: (part: Buffer, _, done) => done(void written.push(part)) });
  stream = new PageStream(new GuestMemory(found.manifest.blocks), socket);
});
afterEach(() => files.remove());

test('what was read of the wake set is in hand until it has been sent', async () => {
  await feed.read;
  for (const page of [wakeSet[0]!, wakeSet[segmentPages + 3]!, wakeSet.at(-1)!]) {
    const { content, at } = feed.inHand(page)!;
    expect(content.subarray(at, at + 4096).equals(pages[page]!)).toBe(true);
  }
  expect(feed.inHand(0)).toBeNull();
  await feed.afterRunning(stream);
  expect(wakeSet.every((page) => feed.inHand(page) === null)).toBe(true);
});

test('a page that is in hand is answered from there, before anything else of the checkpoint was read, and not sent again', async () => {
  await feed.read;
  const record = new WakeRecord();
  const answers = new PageAnswers(new Promise(() => undefined), stream, record, (page) => feed.inHand(page));
  const asked = wakeSet[segmentPages]!;
  void answers.answer({ first: asked, end: asked + 1 });
  expect(stream.isSent(asked)).toBe(true);
  expect(Buffer.concat(written).includes(pages[asked]!)).toBe(true);
  await feed.afterRunning(stream);
  await immediate(); // the stream has taken it all by then
  expect(feed.sentAhead().ahead).toHaveLength(wakeSet.length - 1);
  expect([...record.requests().pages]).toEqual([asked]);
});
