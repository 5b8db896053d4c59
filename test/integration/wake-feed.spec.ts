import { Writable } from 'node:stream';
import { setImmediate as immediate } from 'node:timers/promises';
import { CheckpointWriter, noPage, segmentPages, StoredCheckpoint, type WakeHead } from '@dormouse/checkpoint';
import * as fixture from '../../libs/checkpoint/checkpoint-fixture';
import { GuestMemory } from '../../apps/pager/serve/guest-memory';
import { PageAnswers } from '../../apps/pager/serve/page-answers';
import { PageStream } from '../../apps/pager/serve/page-stream';
import { WakeFeed } from '../../apps/pager/serve/wake-feed';
import { WakeRecord } from '../../apps/pager/serve/wake-record';

const pages = Array.from({ length: 300 }, (_, page) => fixture.wild(page));
/** From the last page to the first; more than two segments and a half. */
const wakeSet = Uint32Array.from({ length: 2 * segmentPages + 40 }, (_, n) => pages.length - 1 - n);

let files: fixture.TestStore;
let head: WakeHead;
let feed: WakeFeed;
let written: Buffer[];
let stream: PageStream;

/**
 * @param onTrial of the wake set's pages
 * @param changed those that the guest changed after the wake pages were written
 */
async function begin(onTrial: number, changed: readonly number[] = []): Promise<void> {
  const store = await files.open();
  const writer = new CheckpointWriter(store, fixture.identity, fixture.blocksOf(pages.length), {
    keys: fixture.keys,
    hasher: fixture.hasher,
    wakeSet: {
      candidates: wakeSet,
      choose: () => ({
        pages: wakeSet,
        ranksMs: new Uint32Array(wakeSet.length),
        onTrial,
        workingSet: Buffer.alloc(0),
      }),
    },
  });
  await fixture.add(writer, pages.entries());
  if (changed.length > 0) await writer.catchUp();
  await fixture.add(
    writer,
    changed.map((page) => [page, pages[page]!]),
  );
  await writer.commit(await writer.seal(fixture.wakePack, fixture.machine));
  const found = await StoredCheckpoint.find(store, fixture.identity, fixture.dataKey);
  const wakePack = found.wakePack();
  head = await wakePack.head();
  feed = new WakeFeed(wakePack, head);
  written = [];
  const socket = new Writable({ write: (part: Buffer, _, done) => done(void written.push(Buffer.from(part))) });
  stream = new PageStream(new GuestMemory(found.manifest.blocks), socket);
}

beforeEach(async () => {
  files = await fixture.TestStore.create();
});
afterEach(() => files.remove());

test('what was read of the wake set is in hand until it has been sent', async () => {
  await begin(0);
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
  await begin(0);
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

test.each([1, 15, 40, segmentPages + 40, 2 * segmentPages + 40])(
  'of %i pages that are on trial each is in hand and stays there, unless the guest asks for it',
  async (onTrial) => {
    await begin(onTrial);
    await feed.beforeRunning(stream);
    await feed.afterRunning(stream);
    await feed.read;
    const [sure, trial] = [wakeSet.subarray(0, -onTrial), wakeSet.subarray(-onTrial)];
    expect([...feed.sentAhead().ahead]).toEqual([...sure]);
    for (const page of sure) expect(feed.inHand(page)).toBeNull();
    for (const page of trial) {
      expect(stream.isSent(page)).toBe(false);
      const { content, at } = feed.inHand(page)!;
      expect(content.subarray(at, at + 4096).equals(pages[page]!)).toBe(true);
    }
  },
);

test('places of the wake pages that are not used are not sent, and nothing is missing', async () => {
  const changed = [wakeSet[segmentPages + 1]!, wakeSet[2]!];
  await begin(5, changed);
  expect(head.pages.filter((page) => page === noPage)).toHaveLength(segmentPages);
  await feed.beforeRunning(stream);
  await feed.afterRunning(stream);
  await feed.read;
  const sure = wakeSet.subarray(0, -5);
  const first = sure.filter((page) => changed.includes(page));
  expect([...feed.sentAhead().ahead]).toEqual([...first, ...sure.filter((page) => !changed.includes(page))]);
  for (const page of first) expect(Buffer.concat(written).includes(pages[page]!)).toBe(true);
});
