import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import * as fixture from './checkpoint-fixture';
import { CheckpointWriter } from './checkpoint-writer';
import { CheckpointSecrets } from './encryption';
import { frameBytes, tagBytes } from './layout';
import type { Manifest } from './manifest-shape';
import { encodeManifest, sha256 } from './manifest';
import { objectKeys } from './object-keys';

const { dull, identity, wakePack, wild } = fixture;
const keys = objectKeys(identity.desktopId, identity.checkpointId);
const otherIdentity = { ...identity, checkpointId: '0b0e1c1a-0000-4000-8000-000000000002' };
const otherKeys = objectKeys(otherIdentity.desktopId, otherIdentity.checkpointId);

const secrets = new CheckpointSecrets(fixture.dataKey, identity.checkpointId);
const storedFrame = frameBytes + tagBytes;

let files: fixture.TestStore;

/** Two frames that are stored as they are, one that is compressed. */
const pages = (seed: number): (Buffer | null)[] => [
  ...Array.from({ length: 32 }, (_, n) => wild(seed + n)),
  ...Array.from({ length: 16 }, (_, n) => (n % 5 === 0 ? null : dull(seed + n))),
  ...[null, null, null, dull(99)],
];

beforeAll(async () => {
  files = await fixture.TestStore.create();
  const store = await files.open();
  await write(store, pages(0), identity, wakePack);
  await write(store, pages(1000), otherIdentity, { ...wakePack, deviceState: Buffer.alloc(300, 1) });
});
afterAll(() => files.remove());

/** With a wake set in the wake pack and in wake pages. */
async function write(
  store: BlobStore,
  memory: readonly (Buffer | null)[],
  name: typeof identity,
  state: typeof wakePack,
): Promise<void> {
  const options = { keys: fixture.keys, hasher: fixture.hasher, mostRewritten: 8 };
  const writer = new CheckpointWriter(store, name, fixture.blocksOf(memory.length), options);
  await fixture.add(
    writer,
    [3, 5].map((page) => [page, wild(page)]),
  );
  await fixture.add(writer, memory.entries());
  await writer.catchUp();
  await fixture.add(
    writer,
    [5, 7].map((page) => [page, memory[page]!]),
  );
  await writer.commit(await writer.seal(state, fixture.machine));
}

/** Opens the checkpoint anew and reads all of it, both ways; what it threw. Nothing that was changed may come out. */
async function damageFound(): Promise<unknown> {
  const store = await files.open();
  try {
    const reader = await fixture.open(store, identity, fixture.keys);
    const results = await Promise.allSettled([fixture.readPages(reader), fixture.readPagesInRuns(reader, 10)]);
    for (const result of results) {
      if (result.status === 'fulfilled') expect(fixture.samePages(result.value, pages(0))).toBe(true);
    }
    const failed = results.filter((result) => result.status === 'rejected');
    if (failed.length === 1) throw new Error('one way to read finds the damage and the other does not');
    return failed[0]?.reason ?? null;
  } catch (error) {
    if (!isDormouseError(error)) throw error;
    return error;
  } finally {
    await store.close();
  }
}

/** Damages an object for as long as `check` runs. */
async function damaged(key: string, content: Buffer, check: () => Promise<void>): Promise<void> {
  const whole = await files.content(key);
  await files.change(key, content);
  try {
    await check();
  } finally {
    await files.change(key, whole);
  }
}

const corruptOrRefused = (key: string) => ({
  code: expect.stringMatching(/^(CHECKPOINT_CORRUPT|FORMAT_UNSUPPORTED|CHECKPOINT_KEY_MISMATCH)$/),
  details: { object: key },
  message: expect.stringContaining(key),
});
const corrupt = (key: string) => ({ code: 'CHECKPOINT_CORRUPT', details: { object: key } });

/** Every position of a small object, some of a large one. */
const positions = (bytes: number): number[] =>
  Array.from({ length: bytes }, (_, at) => at).filter((at) => bytes < 4096 || at % 3001 === 0 || at >= bytes - 40);

const objects = [
  ['manifest', keys.manifest],
  ['page map', keys.pageMap],
  ['wake pack', keys.wakePack],
  ['wake pages', keys.wakePages],
  ['pack', keys.pack(0)],
] as const;

test('the checkpoint is read whole as long as nothing is changed', async () => {
  expect(await damageFound()).toBeNull();
});

describe.each(objects)('a %s', (name, key) => {
  test('with any bit flipped is refused by name, and nothing of it is handed out', async () => {
    const whole = await files.content(key);
    for (const at of positions(whole.length)) {
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 1 << ((at * 5) % 8);
      await damaged(key, flipped, async () => {
        expect(await damageFound()).toMatchObject(
          ['manifest', 'wake pack', 'wake pages'].includes(name) ? corruptOrRefused(key) : corrupt(key),
        );
      });
    }
  });

  test('that was cut short, anywhere, or has grown is refused by name', async () => {
    const whole = await files.content(key);
    for (const length of positions(whole.length)) {
      await damaged(key, whole.subarray(0, length), async () => {
        expect(await damageFound()).toMatchObject(corrupt(key));
      });
    }
    for (const more of [Buffer.of(0), Buffer.of(0x0a), whole]) {
      await damaged(key, Buffer.concat([whole, more]), async () => {
        expect(await damageFound()).toMatchObject(corrupt(key));
      });
    }
  });

  test('of another checkpoint in its place is refused by name', async () => {
    const other = await files.content(key.replace(keys.prefix, otherKeys.prefix));
    await damaged(key, other, async () => {
      expect(await damageFound()).toMatchObject(corrupt(key));
    });
  });

  test('that is missing is named', async () => {
    const whole = await files.content(key);
    await files.removeObject(key);
    expect(await damageFound()).toMatchObject({
      code: name === 'manifest' ? 'CHECKPOINT_UNKNOWN' : 'CHECKPOINT_INCOMPLETE',
      details: { object: key },
    });
    await files.change(key, whole);
  });

  test.each(objects.filter(([other]) => other !== name))(
    'with the content of the %s is refused by name',
    async (_, other) => {
      await damaged(key, await files.content(other), async () => {
        expect(await damageFound()).toMatchObject(corrupt(key));
      });
    },
  );
});

describe('a key that is not the one of the checkpoint', () => {
  const open = async (dataKey: typeof fixture.dataKey) =>
    fixture.open(await files.open(), identity, { ...fixture.keys, dataKey });
  const mismatch = { code: 'CHECKPOINT_KEY_MISMATCH', details: { object: keys.manifest } };

  test('is refused by its name', async () => {
    await expect(open({ ...fixture.dataKey, keyId: 'another' })).rejects.toMatchObject(mismatch);
  });

  test('is refused under the right name', async () => {
    await expect(open({ ...fixture.dataKey, key: Buffer.alloc(32, 9) })).rejects.toMatchObject(mismatch);
  });
});

test('a manifest somebody without the key has written, with the right digest, is refused', async () => {
  const forger = new CheckpointSecrets({ ...fixture.dataKey, key: Buffer.alloc(32, 9) }, identity.checkpointId);
  const text = (await files.content(keys.manifest)).toString('utf8');
  const manifest = JSON.parse(text.slice(text.indexOf('\n'))) as Manifest;
  await damaged(keys.manifest, encodeManifest({ ...manifest, diskGeneration: 'another' }, forger), async () => {
    expect(await damageFound()).toMatchObject({ code: 'CHECKPOINT_KEY_MISMATCH', details: { object: keys.manifest } });
  });
});

test('two frames of one length that changed places are refused', async () => {
  const pack = await files.content(keys.pack(0));
  const swapped = Buffer.concat([
    pack.subarray(storedFrame, 2 * storedFrame),
    pack.subarray(0, storedFrame),
    pack.subarray(2 * storedFrame),
  ]);
  await damaged(keys.pack(0), swapped, async () => {
    expect(await damageFound()).toMatchObject(corrupt(keys.pack(0)));
  });
});

test('a damaged frame costs its own pages only', async () => {
  const pack = Buffer.from(await files.content(keys.pack(0)));
  pack[storedFrame + 5]! ^= 1;
  await damaged(keys.pack(0), pack, async () => {
    const reader = await fixture.open(await files.open(), identity, fixture.keys);
    await expect(fixture.readFrame(reader, 1)).rejects.toMatchObject(corrupt(keys.pack(0)));
    expect((await fixture.readFrame(reader, 0)).subarray(0, 4096).equals(wild(0))).toBe(true);
    await expect(fixture.readFrame(reader, 2)).resolves.toHaveLength(frameBytes);
  });
});

test('a pack that is cut after the checkpoint was opened is damage, not a store that may come back', async () => {
  const reader = await fixture.open(await files.open(), identity, fixture.keys);
  const pack = await files.content(keys.pack(0));
  await damaged(keys.pack(0), pack.subarray(0, storedFrame + 7), async () => {
    await expect(fixture.readFrame(reader, 1)).rejects.toMatchObject(corrupt(keys.pack(0)));
    await expect(fixture.readFrames(reader, 0, 2)).rejects.toMatchObject(corrupt(keys.pack(0)));
  });
});

test('a store that does not answer is not taken for damage', async () => {
  const store = await files.open();
  let answers = true;
  const whileItAnswers = <T>(work: () => Promise<T>): Promise<T> =>
    answers ? work() : Promise.reject(new DormouseError('STORAGE_FAILED', 'the server is away'));
  const leaving = fixture.bend(store, {
    read: (key, range) => whileItAnswers(() => store.read(key, range)),
    readStart: (key, most) => whileItAnswers(() => store.readStart(key, most)),
    stat: (key) => whileItAnswers(() => store.stat(key)),
  });
  const reader = await fixture.open(leaving, identity, fixture.keys);
  answers = false;
  await expect(fixture.readFrame(reader, 0)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  await expect(fixture.readFrames(reader, 0, 2)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  const opening = fixture.open(leaving, identity, fixture.keys);
  await expect(opening).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
});

describe('a version this reader does not know is refused, not guessed at:', () => {
  const readManifestOf = async (): Promise<Manifest> => {
    const text = (await files.content(keys.manifest)).toString('utf8');
    return JSON.parse(text.slice(text.indexOf('\n'))) as Manifest;
  };

  test('of the manifest', async () => {
    const later = (await files.content(keys.manifest)).toString('utf8').replace('manifest 3 ', 'manifest 4 ');
    await damaged(keys.manifest, Buffer.from(later), async () => {
      expect(await damageFound()).toMatchObject({
        code: 'FORMAT_UNSUPPORTED',
        details: { object: keys.manifest },
        message: expect.stringContaining('version'),
      });
    });
  });

  test.each(['pageMap', 'wakePack', 'wakePages'] as const)('of the %s', async (object) => {
    const key = keys[object];
    const later = Buffer.from(await files.content(key));
    later.writeUInt16LE(9, 4);
    const manifest = await readManifestOf();
    const reference = { ...manifest[object], sha256: sha256(later) };
    await damaged(key, later, () =>
      damaged(keys.manifest, encodeManifest({ ...manifest, [object]: reference }, secrets), async () => {
        expect(await damageFound()).toMatchObject({
          code: 'FORMAT_UNSUPPORTED',
          details: { object: key },
          message: expect.stringContaining('version'),
        });
      }),
    );
  });
});
