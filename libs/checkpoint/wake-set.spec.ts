import * as fixture from './checkpoint-fixture';
import { CheckpointWriter } from './checkpoint-writer';
import { noPage, pageBytes, segmentPages } from './layout';
import { PreviousCheckpoint } from './previous-checkpoint';
import { StoredCheckpoint } from './stored-checkpoint';
import type { SeenPages, WakeChoice, WakeChooser } from './choosable-pages';
import { readTraces, writeTrace, type WakeTrace } from './wake-trace';

const { dull, identity, wild } = fixture;
const second = { ...identity, checkpointId: '0b0e1c1a-0000-4000-8000-000000000002' };

let files: fixture.TestStore;
let store: Awaited<ReturnType<fixture.TestStore['open']>>;

beforeEach(async () => {
  files = await fixture.TestStore.create();
  store = await files.open();
});
afterEach(() => files.remove());

/** Chooses what it is told to, and keeps what it was shown. */
class Chooser implements WakeChooser {
  seen: SeenPages | null = null;

  constructor(
    readonly candidates: Uint32Array,
    private readonly choice: (seen: SeenPages) => readonly (readonly [page: number, rankMs: number])[],
  ) {}

  choose(seen: SeenPages): WakeChoice {
    this.seen = seen;
    const chosen = this.choice(seen);
    return {
      pages: Uint32Array.from(chosen, ([page]) => page),
      ranksMs: Uint32Array.from(chosen, ([, rank]) => rank),
      onTrial: Math.min(chosen.length, 3),
      workingSet: Buffer.from('what was learned'),
    };
  }
}

const memory = (change: (page: number) => Buffer | null | undefined = () => undefined): (Buffer | null)[] =>
  Array.from({ length: 300 }, (_, page) => {
    const changed = change(page);
    if (changed !== undefined) return changed;
    return page % 10 === 0 ? null : page % 2 === 0 ? dull(page) : wild(page);
  });

test('the wake pack holds what was chosen, in that order, in segments', async () => {
  const pages = Array.from({ length: 2 * segmentPages + 5 }, (_, n) => 299 - n);
  const chooser = new Chooser(Uint32Array.from(pages), () => pages.map((page, n) => [page, n * 2]));
  await fixture.write(store, memory(), identity, fixture.wakePack, { wakeSet: chooser });
  const { wakePack, manifest } = await fixture.open(await files.open());
  expect([...wakePack.pages]).toEqual(pages);
  expect([...wakePack.ranksMs]).toEqual(pages.map((_, n) => n * 2));
  expect(wakePack.onTrial).toBe(3);
  const expected = pages.map((page) => memory()[page] ?? Buffer.alloc(pageBytes));
  expect(wakePack.content.equals(Buffer.concat(expected))).toBe(true);
  expect(manifest.pages.wakeSet).toBe(pages.length);
});

test('the wake pack is handed out while it is being read', async () => {
  const pages = Array.from({ length: 250 }, (_, page) => page);
  const chooser = new Chooser(Uint32Array.from(pages), () => pages.map((page) => [page, 0]));
  await fixture.write(store, memory(wild), identity, fixture.wakePack, { wakeSet: chooser });
  const found = await StoredCheckpoint.find(await files.open(), identity, fixture.dataKey);
  const wakePack = found.wakePack();
  expect((await wakePack.head()).deviceState.equals(fixture.wakePack.deviceState)).toBe(true);
  const sizes: number[] = [];
  for await (const segment of wakePack.content()) sizes.push(segment.length / pageBytes);
  expect(sizes).toEqual([64, 64, 64, 58]);
});

test('whoever chooses learns what was written since the last checkpoint, and what while it was saved', async () => {
  const known = new Chooser(new Uint32Array(0), () => []);
  await fixture.write(store, memory(), identity, fixture.wakePack, { wakeSet: known });
  const previous = await PreviousCheckpoint.load(store, identity, fixture.dataKey, () => true);
  expect(previous.workingSet.toString()).toBe('what was learned');

  // 1: stored anew · 2: as before · 3: zero now · 10: zero before and now · 20: zero before · 7: written during the save
  const chooser = new Chooser(Uint32Array.of(1, 2, 3, 10, 20, 10_000), () => [[7, 0]]);
  const writer = new CheckpointWriter(store, second, fixture.blocksOf(300), {
    keys: fixture.keys,
    hasher: fixture.hasher,
    previous,
    wakeSet: chooser,
    mostRewritten: 2,
  });
  const now = memory((page) => (page === 1 || page === 20 ? wild(5000 + page) : page === 3 ? null : undefined));
  await fixture.add(writer, now.entries());
  for (const page of [2, 8, 9, 11, 12]) writer.addPage(page, now[page]!, 0); // more than are kept: all of them are forgotten
  writer.addPage(7, wild(7000), 0); // QEMU comes by again
  await writer.commit(await writer.seal(fixture.wakePack, fixture.machine));

  const { rewritten, has, written } = chooser.seen!;
  expect(rewritten).toEqual([7]);
  expect([1, 2, 3, 10, 20, 7, 9, 10_000].map(has)).toEqual([true, true, true, true, true, true, false, false]);
  expect([1, 2, 3, 10, 20, 7].map(written)).toEqual([true, false, true, false, true, true]);
  const { wakePack } = await fixture.open(await files.open(), second);
  expect(wakePack.content.equals(wild(7000))).toBe(true);
});

test('what changed after the wake pages were written comes first, and its places are not used', async () => {
  const pages = Array.from({ length: 2 * segmentPages + 5 }, (_, n) => 299 - n);
  const late = [3, 4];
  let asked = 0;
  // 298 was chosen at first, and is not at the end; 3 and 4 are chosen only then, 4 to be on trial
  const chooser = new Chooser(Uint32Array.of(...pages, ...late), () =>
    asked++ === 0
      ? pages.map((page) => [page, 7])
      : [...pages.filter((page) => page !== 298), ...late].map((page) => [page, 7]),
  );
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(300), {
    keys: fixture.keys,
    hasher: fixture.hasher,
    wakeSet: chooser,
  });
  const now = memory();
  await fixture.add(writer, now.entries());
  await writer.catchUp();
  for (const page of [299, 200, 0]) now[page] = wild(9000 + page);
  now[177] = null;
  await fixture.add(
    writer,
    [299, 200, 0, 177].map((page) => [page, now[page] ?? null]),
  );
  await writer.commit(await writer.seal(fixture.wakePack, fixture.machine));

  const { wakePack, manifest } = await fixture.open(await files.open());
  expect([...wakePack.pages.subarray(0, 6)]).toEqual([299, 200, 177, 3, 4, noPage]);
  const unused = [299, 298, 200, 177];
  expect([...wakePack.pages.subarray(segmentPages)]).toEqual(
    pages.map((page) => (unused.includes(page) ? noPage : page)),
  );
  expect([...wakePack.ranksMs]).toEqual([...new Array(segmentPages).fill(0), ...pages.map(() => 7)]);
  expect(wakePack.onTrial).toBe(3);
  expect(manifest.pages.wakeSet).toBe(pages.length - 1 + late.length);
  for (const [place, page] of wakePack.pages.entries()) {
    if (page === noPage) continue;
    const content = wakePack.content.subarray(place * pageBytes, (place + 1) * pageBytes);
    expect(content.equals(now[page] ?? Buffer.alloc(pageBytes))).toBe(true);
  }
});

describe('traces', () => {
  const trace = (operationId: string, ahead: number): WakeTrace => ({
    operationId,
    startedAt: '2026-01-02T03:04:05.678Z',
    runningMs: 70,
    hydratedMs: 900,
    blocked: { allMs: 3, eachMs: [7, 4] },
    ahead: Uint32Array.from({ length: ahead }, (_, n) => n),
    beforeRunning: Math.floor(ahead / 2),
    requests: { pages: Uint32Array.of(5, 299), atUs: Uint32Array.of(1, 2), stallUs: Uint32Array.of(80, 4_000_000) },
  });
  const all = { pages: 300, most: 8 };

  test('come back as they were given, oldest first, the last ones only', async () => {
    await fixture.write(store, memory());
    for (const n of [1, 2, 3]) {
      await writeTrace(store, identity, fixture.dataKey, trace(`operation-${n}`, n));
      await new Promise((resolve) => setTimeout(resolve, 5)); // they are told apart by when they were stored
    }
    const read = await readTraces(await files.open(), identity, fixture.dataKey, all);
    expect(read).toEqual([1, 2, 3].map((n) => trace(`operation-${n}`, n)));
    const last = await readTraces(store, identity, fixture.dataKey, { ...all, most: 2 });
    expect(last.map(({ operationId }) => operationId)).toEqual(['operation-2', 'operation-3']);
  });

  test('stay for as long as their checkpoint, and go with it', async () => {
    await fixture.write(store, memory());
    await writeTrace(store, identity, fixture.dataKey, trace('one', 4));
    await fixture.collect(store, { kept: [identity.checkpointId] });
    expect(await readTraces(store, identity, fixture.dataKey, all)).toHaveLength(1);
    await fixture.collect(store, {});
    expect(await files.keys()).toEqual([]);
  });

  test('are refused when they were changed, or name what there is not', async () => {
    await fixture.write(store, memory());
    await writeTrace(store, identity, fixture.dataKey, trace('one', 4));
    const key = (await files.keys()).find((one) => one.includes('/trace-'))!;
    const corrupt = { code: 'CHECKPOINT_CORRUPT', details: { object: key } };
    await expect(readTraces(store, identity, fixture.dataKey, { ...all, pages: 299 })).rejects.toMatchObject(corrupt);
    const content = Buffer.from(await files.content(key));
    content[20]! ^= 1;
    await files.change(key, content);
    await expect(readTraces(await files.open(), identity, fixture.dataKey, all)).rejects.toMatchObject(corrupt);
  });
});
