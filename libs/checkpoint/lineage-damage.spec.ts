import * as fixture from './checkpoint-fixture';
import { objectKeys } from './object-keys';
import { PreviousCheckpoint } from './previous-checkpoint';

/** Damage outside of a checkpoint's own objects, and what only the next save reads. */

const { dataKey, dull, identity, wild } = fixture;
const idOf = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`;
const { desktopId } = identity;
const [first, second] = [idOf(1), idOf(2)];
const keys = objectKeys(desktopId, second);
const earlierPack = objectKeys(desktopId, first).pack(0);
const memory = Array.from({ length: 96 }, (_, page) => (page % 2 === 0 ? wild(page) : dull(page)));
const changed = memory.map((page, n) => (n < 16 ? wild(1_000 + n) : page));

let files: fixture.TestStore;

beforeEach(async () => {
  files = await fixture.TestStore.create();
  const store = await files.open();
  await fixture.write(store, memory, { desktopId, checkpointId: first });
  await fixture.writeAfter(store, first, changed, second);
});
afterEach(() => files.remove());

async function readAll(): Promise<(Buffer | null)[]> {
  const reader = await fixture.open(await files.open(), { desktopId, checkpointId: second }, fixture.keys);
  return fixture.readPages(reader);
}

const loadForTheNextSave = async (): Promise<PreviousCheckpoint> =>
  PreviousCheckpoint.load(await files.open(), { desktopId, checkpointId: second }, dataKey, () => true);

test('whole, it is read, and known to the next save', async () => {
  expect(fixture.samePages(await readAll(), changed)).toBe(true);
  await expect(loadForTheNextSave()).resolves.toBeInstanceOf(PreviousCheckpoint);
});

describe('a pack of an earlier checkpoint', () => {
  test('that is missing is named, and no page is handed out', async () => {
    await files.removeObject(earlierPack);
    const incomplete = { code: 'CHECKPOINT_INCOMPLETE', details: { object: earlierPack } };
    await expect(readAll()).rejects.toMatchObject(incomplete);
    await expect(loadForTheNextSave()).rejects.toMatchObject(incomplete);
  });

  test('that was cut or has grown is named, and no page is handed out', async () => {
    const whole = await files.content(earlierPack);
    for (const content of [
      whole.subarray(0, whole.length - 1),
      Buffer.alloc(0),
      Buffer.concat([whole, Buffer.of(0)]),
    ]) {
      await files.change(earlierPack, content);
      const corrupt = { code: 'CHECKPOINT_CORRUPT', details: { object: earlierPack } };
      await expect(readAll()).rejects.toMatchObject(corrupt);
      await expect(loadForTheNextSave()).rejects.toMatchObject(corrupt);
    }
  });

  test('with one bit flipped in any of its frames is named', async () => {
    const whole = await files.content(earlierPack);
    for (let at = 7; at < whole.length; at += 4_001) {
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 4;
      await files.change(earlierPack, flipped);
      const found = await readAll().catch((error: unknown) => error);
      // The first frame is not of this memory any more: nothing reads it for it.
      if (!Array.isArray(found)) {
        expect(found).toMatchObject({ code: 'CHECKPOINT_CORRUPT', details: { object: earlierPack } });
      } else expect(fixture.samePages(found, changed)).toBe(true);
    }
  });
});

describe('known pages', () => {
  test.each<[string, (whole: Buffer) => Buffer]>([
    [
      'with a flipped bit',
      (whole) => Buffer.from(whole.map((byte, at) => (at === whole.length >> 1 ? byte ^ 1 : byte))),
    ],
    ['that were cut', (whole) => whole.subarray(0, -1)],
    ['that have grown', (whole) => Buffer.concat([whole, Buffer.of(0)])],
    ['that are empty', () => Buffer.alloc(0)],
  ])('%s are refused by the next save, by name, and waking does without them', async (_, damage) => {
    await files.change(keys.knownPages, damage(await files.content(keys.knownPages)));
    await expect(loadForTheNextSave()).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      details: { object: keys.knownPages },
    });
    expect(fixture.samePages(await readAll(), changed)).toBe(true);
  });

  test('of the checkpoint before, or of none, are refused by the next save, by name', async () => {
    const others = await files.content(objectKeys(desktopId, first).knownPages);
    await files.change(keys.knownPages, others);
    await expect(loadForTheNextSave()).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
    await files.removeObject(keys.knownPages);
    await expect(loadForTheNextSave()).rejects.toMatchObject({
      code: 'CHECKPOINT_INCOMPLETE',
      details: { object: keys.knownPages },
    });
  });
});

describe('another desktop’s', () => {
  const other = { desktopId: 'desk-2', checkpointId: second };
  const otherKey = { keyId: '00000000-0000-4000-8000-00000000000b', key: Buffer.alloc(32, 0xee) };

  test.each([
    ['with the same key', dataKey],
    ['with a key of its own', otherKey],
  ])('objects %s are refused by name, one by one and all together', async (_, key) => {
    const store = await files.open();
    const options = { keys: { ...fixture.keys, dataKey: key } };
    await fixture.write(store, memory, other, { ...fixture.wakePack, deviceState: Buffer.alloc(300, 1) }, options);
    const theirs = objectKeys(other.desktopId, second);
    for (const name of ['manifest', 'pageMap', 'wakePack'] as const) {
      const whole = await files.content(keys[name]);
      await files.change(keys[name], await files.content(theirs[name]));
      await expect(readAll()).rejects.toMatchObject({
        code: expect.stringMatching(/^CHECKPOINT_(CORRUPT|KEY_MISMATCH)$/),
        details: { object: keys[name] },
      });
      await files.change(keys[name], whole);
    }
    for (const name of ['manifest', 'pageMap', 'wakePack', 'knownPages'] as const) {
      await files.change(keys[name], await files.content(theirs[name]));
    }
    await expect(readAll()).rejects.toMatchObject({ details: { object: keys.manifest } });
    await expect(loadForTheNextSave()).rejects.toMatchObject({ details: { object: keys.manifest } });
  });
});
