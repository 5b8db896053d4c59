import { rename, rm } from 'node:fs/promises';
import fc from 'fast-check';
import * as handmade from '../handmade-checkpoint';
import type { Finding } from './findings';
import { verifyCheckpoint, type VerifyOptions, type VerifyReport } from './verify-checkpoint';

const { page, samplePlan, TestShelf, u32, wild } = handmade;
const plan = samplePlan();
/** What stands behind the layer entries of the known pages: the working set and the trailer. */
const behindLayers = plan.workingSet.length + 16;
const keys = { dataKey: { keyId: plan.keyId, key: plan.dataKey }, contentKey: plan.contentKey };
const folder = `desktops/${plan.desktopId}/checkpoints/${plan.checkpointId}`;
const image = plan.sources[0]!.name;
const layer = plan.sources[1]!.name;

let shelf: handmade.TestShelf;
let objects: Map<string, Buffer>;

beforeEach(async () => {
  shelf = await TestShelf.make();
  objects = await shelf.put(plan);
});
afterEach(() => shelf.remove());

async function verify(options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  const { desktopId, checkpointId } = plan;
  const store = await shelf.store();
  try {
    return await verifyCheckpoint({ store, desktopId, checkpointId, keys, diskFiles: shelf.file, ...options });
  } finally {
    await store.close();
  }
}

const codesAndNames = ({ findings }: VerifyReport) => findings.map(({ code, object }) => `${code} ${object}`);
const found = async (options?: Partial<VerifyOptions>): Promise<readonly Finding[]> => (await verify(options)).findings;

/** Changes an object, or a disk file, for as long as `check` runs. */
async function damaged(path: string, whole: Buffer, content: Buffer, check: () => Promise<void>): Promise<void> {
  await shelf.write(path, content);
  await check();
  await shelf.write(path, whole);
}

test('a checkpoint that is what the page says has nothing found, and everything looked at', async () => {
  expect(await verify()).toEqual({
    desktopId: plan.desktopId,
    checkpointId: plan.checkpointId,
    depth: 'contents',
    notChecked: [],
    checked: {
      objects: objects.size,
      bytes: [...objects].reduce((sum, [key, { length }]) => sum + (key.endsWith('/manifest') ? 0 : length), 0),
      frames: 5,
      pages: 64,
      diskBlocks: 18,
    },
    findings: [],
    unlisted: 0,
  });
});

describe('what was damaged is found, and nothing else is named', () => {
  /** Any object, any position. */
  const places = fc
    .record({ object: fc.nat(), position: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }) })
    .map(({ object, position }) => {
      const [key, content] = [...objects][object % objects.size]!;
      return { key, content, at: Math.floor(position * content.length) };
    });

  test('one flipped bit, anywhere in any object', async () => {
    await fc.assert(
      fc.asyncProperty(places, fc.nat(7), async ({ key, content, at }, bit) => {
        const flipped = Buffer.from(content);
        flipped[at]! ^= 1 << bit;
        await damaged(shelf.object(key), content, flipped, async () => {
          const findings = await found();
          expect(findings.length).toBeGreaterThan(0);
          for (const finding of findings) {
            expect(finding.object).toBe(key);
            expect(finding.message).toContain(key);
            expect(finding.severity).toBe('error');
          }
        });
      }),
      { numRuns: 300 },
    );
  });

  test('one flipped bit in a pack names the frame and a page it costs', async () => {
    const key = `${folder}/pack-00000`;
    const flipped = Buffer.from(objects.get(key)!);
    flipped[flipped.length - 1000]! ^= 4;
    const offset = flipped.length - 65_552;
    await shelf.write(shelf.object(key), flipped);
    expect(await found()).toEqual([
      {
        severity: 'error',
        code: 'CHECKPOINT_CORRUPT',
        object: key,
        offset,
        page: plan.pages.findIndex((place) => place !== 'zero' && 'frame' in place && place.frame === 1),
        message: expect.stringMatching(/tag of the frame at byte \d+ does not match; \d+ pages are in it/),
      },
      expect.objectContaining({ code: 'CHECKPOINT_CORRUPT', object: key, message: expect.stringContaining('digest') }),
    ]);
  });

  test('an object that was cut, anywhere, or has grown', async () => {
    const lengths = fc.oneof(
      places.map(({ at, ...place }) => ({ ...place, changed: place.content.subarray(0, at) })),
      places.map((place) => ({ ...place, changed: Buffer.concat([place.content, wild(1, 5)]) })),
    );
    await fc.assert(
      fc.asyncProperty(lengths, async ({ key, content, changed }) => {
        await damaged(shelf.object(key), content, changed, async () => {
          expect([...new Set(codesAndNames(await verify()))]).toEqual([`CHECKPOINT_CORRUPT ${key}`]);
        });
      }),
      { numRuns: 100 },
    );
  });

  test('an object with the content of another', async () => {
    for (const [key, content] of objects) {
      for (const [otherKey, other] of objects) {
        if (key === otherKey) continue;
        await damaged(shelf.object(key), content, other, async () => {
          expect([...new Set(codesAndNames(await verify()))]).toEqual([`CHECKPOINT_CORRUPT ${key}`]);
        });
      }
    }
  });

  test('an object of another checkpoint or of another desktop in its place', async () => {
    const others = [
      { ...samplePlan(500), checkpointId: '0b0e1c1a-0000-4000-8000-00000000000f' },
      { ...samplePlan(500), desktopId: 'desk-2', dataKey: Buffer.alloc(32, 9) },
    ];
    for (const other of others) {
      for (const [key, content] of handmade.encodeCheckpoint(other)) {
        if (other.desktopId === plan.desktopId && !key.includes(other.checkpointId)) continue; // a pack they share
        const own = key.replace(other.desktopId, plan.desktopId).replace(other.checkpointId, plan.checkpointId);
        await damaged(shelf.object(own), objects.get(own)!, content, async () => {
          expect([...new Set(codesAndNames(await verify()))]).toEqual([`CHECKPOINT_CORRUPT ${own}`]);
        });
      }
    }
  });

  test('an object that is missing', async () => {
    for (const key of objects.keys()) {
      await rename(shelf.object(key), `${shelf.directory}/away`);
      const code = key.endsWith('/manifest') ? 'CHECKPOINT_UNKNOWN' : 'CHECKPOINT_INCOMPLETE';
      expect(codesAndNames(await verify())).toEqual([`${code} ${key}`]);
      await rename(`${shelf.directory}/away`, shelf.object(key));
    }
  });

  test('a block of a disk that a page stands in, by that page', async () => {
    const content = Buffer.from(plan.sources[1]!.content);
    content[12 * page + 77]! ^= 1;
    await shelf.write(shelf.file(layer), content);
    const pages = plan.pages.flatMap((place, n) =>
      place !== 'zero' && 'block' in place && place.source === 1 && place.block === 12 ? [n] : [],
    );
    const findings = await found();
    expect(pages.length).toBeGreaterThan(0);
    expect(findings.filter(({ code }) => code === 'DISK_SOURCE_CHANGED')).toEqual(
      pages.map((number) => expect.objectContaining({ object: layer, offset: 12 * page, page: number })),
    );
    // The next save would have taken it for that content too.
    expect(findings.filter(({ code }) => code !== 'DISK_SOURCE_CHANGED')).toEqual([
      expect.objectContaining({
        object: `${folder}/known-pages`,
        message: expect.stringContaining(`block 12 of ${layer}`),
      }),
    ]);
  });

  test('a disk file that is missing or too short', async () => {
    await shelf.write(shelf.file(image), plan.sources[0]!.content.subarray(0, 12 * page));
    expect(codesAndNames(await verify())).toEqual([`DISK_SOURCE_MISSING ${image}`]);
    await rm(shelf.file(image));
    expect(codesAndNames(await verify())).toEqual([`DISK_SOURCE_MISSING ${image}`]);
    expect(codesAndNames(await verify({ diskFiles: (name) => (name === image ? null : shelf.file(name)) }))).toEqual([
      `DISK_SOURCE_MISSING ${image}`,
    ]);
  });

  test('several things at once, all of them', async () => {
    for (const name of ['pack-00000', 'pack-00001', 'known-pages']) {
      const content = Buffer.from(objects.get(`${folder}/${name}`)!);
      content[40]! ^= 1;
      await shelf.write(shelf.object(`${folder}/${name}`), content);
    }
    await rm(shelf.file(image));
    expect([...new Set((await found()).map(({ object }) => object))]).toEqual([
      `${folder}/known-pages`,
      `${folder}/pack-00000`,
      `${folder}/pack-00001`,
      image,
    ]);
  });
});

describe('what is wrong though its digests and tags are right is found:', () => {
  const manifestWith = (change: (members: never) => object): handmade.Twists => ({
    manifest: (members) => ({ ...members, ...change(members as never) }),
  });
  /** A page map made from other places than those that everything else was made from. */
  const pageMapWith = (change: (place: handmade.Place, n: number) => handmade.Place, rows = frameRows()) => ({
    pageMap: () => handmade.pageMapOf({ ...plan, pages: plan.pages.map(change) }, rows),
  });
  const frameRows = (change: (row: bigint[], frame: number) => void = () => undefined): bigint[][] => {
    const rows: bigint[][] = [];
    for (const [pack, { frames, checkpointId, number }] of plan.packs.entries()) {
      const stored = objects.get(
        `desktops/${plan.desktopId}/checkpoints/${checkpointId}/pack-${String(number).padStart(5, '0')}`,
      )!;
      // The lengths of compressed frames are those of the frames beside them: two in a pack, one of them as it is.
      let offset = 0;
      for (const [n, { slots, compressed }] of frames.entries()) {
        const length = (compressed ? handmade.zstd(Buffer.concat(slots)).length : 65_536) + 16;
        rows.push([pack, compressed ? 1 : 0, 0, length, offset].map(BigInt));
        offset += length;
        if (n === frames.length - 1) expect(offset).toBe(stored.length);
      }
    }
    rows.forEach(change);
    return rows;
  };
  const key = (name: string): string => `${folder}/${name}`;
  const flip = (at: number) => (content: Buffer) => {
    const changed = Buffer.from(content);
    changed[at < 0 ? content.length + at : at]! ^= 1;
    return changed;
  };
  const unknownBlock = { source: 0, block: 13 };

  const cases: readonly (readonly [what: string, twists: () => handmade.Twists, object: string, message: RegExp])[] = [
    [
      'a page in a frame that is none',
      () => pageMapWith((p, n) => (n === 1 ? { frame: 5, slot: 0 } : p)),
      key('page-map'),
      /page 1 is in frame 5 of 5/,
    ],
    [
      'a page in slot 16',
      () => pageMapWith((p, n) => (n === 1 ? { frame: 0, slot: 16 } : p)),
      key('page-map'),
      /page 1 is in slot 16/,
    ],
    [
      'a frame in a pack that is none',
      () =>
        pageMapWith(
          (p) => p,
          frameRows((row, n) => n === 4 && (row[0] = 3n)),
        ),
      key('page-map'),
      /frame 4 is in pack 3 of 3/,
    ],
    [
      'a frame of an unknown encoding',
      () =>
        pageMapWith(
          (p) => p,
          frameRows((row, n) => n === 4 && (row[1] = 2n)),
        ),
      key('page-map'),
      /frame 4 has the unknown encoding 2/,
    ],
    [
      'a frame of no length',
      () =>
        pageMapWith(
          (p) => p,
          frameRows((row, n) => n === 4 && (row[3] = 16n)),
        ),
      key('page-map'),
      /impossible length 16/,
    ],
    [
      'a plain frame of another length',
      () =>
        pageMapWith(
          (p) => p,
          frameRows((row, n) => n === 1 && (row[3] = 65_551n)),
        ),
      key('page-map'),
      /impossible length 65551/,
    ],
    [
      'a frame behind its pack',
      () =>
        pageMapWith(
          (p) => p,
          frameRows((row, n) => n === 4 && (row[4] = 1n)),
        ),
      key('page-map'),
      /frame 4 ends behind its pack/,
    ],
    [
      'a frame at the end of numbers',
      () =>
        pageMapWith(
          (p) => p,
          frameRows((row, n) => n === 4 && (row[4] = 2n ** 64n - 1n)),
        ),
      key('page-map'),
      /frame 4 ends behind its pack/,
    ],
    [
      'page maps of other machines',
      () => ({ pageMap: (plain) => Buffer.concat([u32(65), plain.subarray(4)]) }),
      key('page-map'),
      /65 pages/,
    ],
    [
      'more frames than packs could hold',
      () => ({ pageMap: (plain) => Buffer.concat([plain.subarray(0, 4), u32(2 ** 32 - 1), plain.subarray(8)]) }),
      key('page-map'),
      /cannot lie in the packs/,
    ],
    [
      'fewer pages on disk than there are',
      () => ({ pageMap: (plain) => Buffer.concat([plain.subarray(0, 8), u32(1), plain.subarray(12)]) }),
      key('page-map'),
      /pages on disk/,
    ],
    [
      'a page map with more behind it',
      () => ({ pageMap: (plain) => Buffer.concat([plain, u32(0)]) }),
      key('page-map'),
      /do not add up/,
    ],
    ['a list that is something else', () => ({ pageMap: flip(26) }), key('page-map'), /does not decompress/],
    ['a page tag of another content', () => ({ pageMap: flip(-1) }), layer, /has changed/],
    ['known pages of other frames', () => ({ knownPages: flip(-16) }), key('known-pages'), /frames/],
    [
      'a page hash of another content',
      () => ({ knownPages: flip(16) }),
      key('known-pages'),
      /slot 1 of frame 0 is that of another/,
    ],
    [
      'a layer entry that points nowhere',
      () => ({ knownPages: flip(-1 - behindLayers) }),
      key('known-pages'),
      /points to a block that no disk source has/,
    ],
    [
      'a layer entry with another hash',
      () => ({ knownPages: flip(-24 - behindLayers) }),
      key('known-pages'),
      /block 12 .*another content/,
    ],
    [
      'a zero page of the wake set that is none',
      () => ({ wakePack: flip(-6 * page) }),
      key('wake-pack'),
      /page 0 is not the one/,
    ],
    [
      'a page of the wake set that its frame has otherwise',
      () => ({ wakePack: flip(-5 * page) }),
      key('wake-pack'),
      /page 1 is not the one/,
    ],
    [
      'a page of the wake set that its disk has otherwise',
      () => ({ wakePack: flip(-4 * page) }),
      key('wake-pack'),
      /page 5 is not the one/,
    ],
    [
      'a page of the wake set that is none',
      () => ({ wakePack: flip(16 + 21 + 300 + 58 * 4 + 3) }),
      key('wake-pack'),
      /page 16777216 is none/,
    ],
    [
      'a page of the wake set twice',
      () => ({ wakePack: flip(16 + 21 + 300 + 58 * 4) }),
      key('wake-pack'),
      /page 1 is in the wake set twice/,
    ],
    ['a wake pack of other lengths', () => ({ wakePack: flip(0) }), key('wake-pack'), /do not add up/],
    [
      'a frame that decompresses to less',
      () => ({ frame: (content, n) => (n === 3 ? handmade.zstd(wild(1)) : content) }),
      'desktops/desk-1/checkpoints/0b0e1c1a-0000-4000-8000-000000000001/pack-00003',
      /does not decompress/,
    ],
    [
      'another number of pages',
      () => manifestWith(({ pages }: { pages: object }) => ({ pages: { ...pages, zero: 9 } })),
      key('manifest'),
      /9 zero pages/,
    ],
    [
      'another number of bytes',
      () => manifestWith(({ bytes }: { bytes: object }) => ({ bytes: { ...bytes, written: 1 } })),
      key('manifest'),
      /1 bytes written/,
    ],
    [
      'another wake set',
      () => manifestWith(({ pages }: { pages: object }) => ({ pages: { ...pages, wakeSet: 7 } })),
      key('manifest'),
      /7 pages in the wake set, which has 8/,
    ],
    [
      'disk sources that are shorter than pages need',
      () =>
        manifestWith(({ diskSources }: { diskSources: { name: string }[] }) => ({
          diskSources: diskSources.map(({ name }) => ({ name, blocks: 9 })),
        })),
      key('page-map'),
      /which has 9/,
    ],
    [
      'a pack that is named twice',
      () => manifestWith(({ packs }: { packs: object[] }) => ({ packs: [...packs, packs[0]] })),
      key('manifest'),
      /names a pack twice/,
    ],
    [
      'memory of half pages',
      () => manifestWith(() => ({ blocks: [{ name: 'pc.ram', bytes: 2048 }] })),
      key('manifest'),
      /blocks.0.bytes/,
    ],
    [
      'a disk source that is a path',
      () => manifestWith(() => ({ diskSources: [{ name: '../secret/0', blocks: 1 }] })),
      key('manifest'),
      /diskSources.0.name/,
    ],
    [
      'the manifest of another checkpoint',
      () => manifestWith(() => ({ checkpointId: '0b0e1c1a-0000-4000-8000-000000000009' })),
      key('manifest'),
      /checkpointId/,
    ],
    [
      'the manifest of another desktop',
      () => manifestWith(() => ({ desktopId: 'desk-2' })),
      key('manifest'),
      /desktopId desk-2/,
    ],
    ['a manifest without a member', () => manifestWith(() => ({ wakePack: undefined })), key('manifest'), /wakePack/],
  ];

  test.each(cases)('%s', async (_, twists, object, message) => {
    await shelf.put(plan, twists());
    const findings = await found();
    expect(findings.map((finding) => ({ object: finding.object, message: finding.message }))).toContainEqual({
      object,
      message: expect.stringMatching(message),
    });
  });

  test('a page on disk beyond its source', async () => {
    const rows = frameRows();
    const beyond = { ...plan, pages: plan.pages.map((place, n) => (n === 5 ? unknownBlock : place)) };
    const withRoom = { ...beyond, sources: [{ name: image, content: wild(1, 14 * page) }, plan.sources[1]!] };
    await shelf.put(plan, { pageMap: () => handmade.pageMapOf(withRoom, rows) });
    expect((await found()).map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/page 5 is block 13 of image\/0, which has 13/),
    );
  });

  test('a version that is not known, of each object that has one', async () => {
    const manifest = objects.get(key('manifest'))!;
    const json = manifest.subarray(manifest.indexOf(0x0a) + 1);
    await shelf.write(shelf.object(key('manifest')), handmade.sealManifest(plan, json, '4'));
    expect(codesAndNames(await verify())).toEqual([`FORMAT_UNSUPPORTED ${key('manifest')}`]);
  });
});

describe('keys', () => {
  const other = Buffer.alloc(32, 0x77);

  test('of another desktop, or of another name, are told from damage, and the digests are checked all the same', async () => {
    await rm(shelf.object(`${folder}/pack-00001`));
    for (const dataKey of [
      { keyId: plan.keyId, key: other },
      { keyId: 'another', key: plan.dataKey },
    ]) {
      const report = await verify({ keys: { ...keys, dataKey } });
      expect(codesAndNames(report)).toEqual([
        `CHECKPOINT_KEY_MISMATCH ${folder}/manifest`,
        `CHECKPOINT_INCOMPLETE ${folder}/pack-00001`,
      ]);
      expect(report).toMatchObject({ depth: 'digests', notChecked: [expect.stringContaining('another key')] });
    }
  });

  test('a content key that is another makes every page hash another', async () => {
    const names = new Set((await found({ keys: { ...keys, contentKey: other } })).map(({ object }) => object));
    expect([...names].sort()).toEqual([layer, `${folder}/known-pages`, `${folder}/wake-pack`, image].sort());
  });

  test('that are not at hand leave sizes and digests, and the report says so', async () => {
    expect(await verify({ keys: null })).toMatchObject({
      depth: 'digests',
      findings: [],
      checked: { objects: objects.size, frames: 0 },
      notChecked: [expect.stringContaining('Only sizes and digests')],
    });
    for (const [key, content] of objects) {
      const flipped = Buffer.from(content);
      flipped[content.length >> 1]! ^= 1;
      await damaged(shelf.object(key), content, flipped, async () => {
        expect(codesAndNames(await verify({ keys: null }))).toEqual([`CHECKPOINT_CORRUPT ${key}`]);
      });
    }
  });
});

test('without the disk files the report says that the pages on them were not looked at', async () => {
  expect(await verify({ diskFiles: null })).toMatchObject({
    findings: [],
    checked: { diskBlocks: 0 },
    notChecked: [expect.stringMatching(/^16 pages on disk were not looked at/)],
  });
});

test('a storage that fails for one object is a finding about that object', async () => {
  const store = await shelf.store();
  const key = `${folder}/pack-00000`;
  await rm(shelf.object(key));
  await shelf.write(`${shelf.object(key)}/in-the-way`, Buffer.of(1)); // a folder where an object should be
  expect(codesAndNames(await verify({ store }))).toEqual([`CHECKPOINT_INCOMPLETE ${key}`]);
});

test('packs of many megabytes are looked at to the last frame', async () => {
  const frames = Array.from({ length: 150 }, (_, n) => {
    const compressed = n % 10 === 9; // so that frames lie across whatever is read at a time
    const slots = Array.from({ length: 16 }, (__, slot) => {
      const content = wild(n * 16 + slot);
      return compressed ? content.fill(0, page / 2) : content;
    });
    return { slots, compressed };
  });
  const pages = frames.flatMap((_, frame) => Array.from({ length: 16 }, (__, slot) => ({ frame, slot })));
  const { checkpointId } = plan;
  const large: handmade.Plan = {
    ...plan,
    blocks: [{ name: 'pc.ram', bytes: pages.length * page }],
    packs: [{ checkpointId, number: 0, frames }],
    pages,
    wakeSet: [2399, 1000, 1030],
    wakePages: [],
    layers: [],
  };
  const key = `${folder}/pack-00000`;
  const content = (await shelf.put(large)).get(key)!;
  expect(content.length).toBeGreaterThan(8.5 * 2 ** 20);
  expect(await verify()).toMatchObject({ findings: [], checked: { frames: 150, pages: 2400 } });
  for (const at of [1, 4 * 2 ** 20 - 1, 4 * 2 ** 20, 8 * 2 ** 20 + 65_000, content.length - 1]) {
    const flipped = Buffer.from(content);
    flipped[at]! ^= 1;
    await damaged(shelf.object(key), content, flipped, async () => {
      const [frame, digest, ...more] = await found();
      expect(more).toEqual([]);
      expect(frame).toMatchObject({ object: key, page: expect.any(Number) });
      expect(at - frame!.offset!).toBeLessThanOrEqual(65_552);
      expect(digest).toMatchObject({ object: key, message: expect.stringContaining('digest') });
    });
  }
});

test('a checkpoint that is damaged all over has a list that ends', async () => {
  const many = {
    ...plan,
    pages: Array.from({ length: 3000 }, () => ({ frame: 0, slot: 20 })),
    wakeSet: [],
    wakePages: [],
  };
  const blocks = [{ name: 'pc.ram', bytes: 3000 * page }];
  const broken = { ...many, blocks, layers: [] };
  // Everything besides the page map is made from places that there are.
  const sound = { ...broken, pages: many.pages.map(() => ({ frame: 0, slot: 2 })) };
  const rows = [[0n, 1n, 0n, 17n, 0n]];
  await shelf.put(sound, { pageMap: () => handmade.pageMapOf({ ...sound, pages: many.pages }, rows) });
  const report = await verify();
  expect(report.findings).toHaveLength(1000);
  expect(report.unlisted).toBeGreaterThan(1000);
});
