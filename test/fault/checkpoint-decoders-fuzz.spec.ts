import { Decoder, Encoder } from '@toondepauw/node-zstd';
import { isDormouseError } from '@dormouse/errors';
import type { BlobRange, BlobStore } from '@dormouse/storage';
import fc from 'fast-check';
import * as fixture from '../../libs/checkpoint/checkpoint-fixture';
import { readManifest } from '../../libs/checkpoint/read-objects';
import { decodeColumns } from '../../libs/checkpoint/columns';
import { CheckpointSecrets } from '../../libs/checkpoint/encryption';
import { FrameTable } from '../../libs/checkpoint/frame-table';
import { decodeKnownPages } from '../../libs/checkpoint/known-pages';
import { decodeManifest } from '../../libs/checkpoint/manifest';
import type { Manifest } from '../../libs/checkpoint/manifest-shape';
import { objectKeys } from '../../libs/checkpoint/object-keys';
import { PageMap } from '../../libs/checkpoint/page-map';
import { decodeHead } from '../../libs/checkpoint/wake-head';
import { WakePackReader } from '../../libs/checkpoint/wake-pack-reader';
import { WakePackWriter } from '../../libs/checkpoint/wake-pack-writer';
import { decodeTrace, encodeTrace } from '../../libs/checkpoint/wake-trace';
import { mutated } from '../../libs/checkpoint-tools/mutated';

/**
 * What the reader of checkpoints decodes stands behind tags, so that only a writer can have made it. A bug in one must end
 * in an error all the same: not in an endless loop, in memory without bounds or in pages that nobody wrote.
 */

const { identity } = fixture;
const keys = objectKeys(identity.desktopId, identity.checkpointId);
const secrets = new CheckpointSecrets(fixture.dataKey, identity.checkpointId);
const image = Buffer.concat(Array.from({ length: 8 }, (_, n) => fixture.wild(100 + n)));
const layer = Buffer.concat(Array.from({ length: 8 }, (_, n) => fixture.wild(200 + n)));
const [zstd, unzstd] = [new Encoder(1), new Decoder()];

let manifest: Manifest;
let frames: number;
let wakePages: Buffer;
/** Every decoder by what it decodes: plaintext as it was written, and what decodes it. */
const decoders = new Map<string, { whole: Buffer; decode: (plaintext: Buffer) => Promise<unknown> }>();

beforeAll(async () => {
  const files = await fixture.TestStore.create();
  const store = await files.open();
  const memory = Array.from({ length: 90 }, (_, page) => {
    if (page % 9 === 0) return null;
    if (page % 9 === 1) return image.subarray((page % 8) * 4096, ((page % 8) + 1) * 4096);
    if (page % 9 === 2) return layer.subarray((page % 8) * 4096, ((page % 8) + 1) * 4096);
    return page % 2 === 0 ? fixture.wild(page) : fixture.dull(page);
  });
  const disks = new fixture.DisksInMemory({ 'image/0': image, 'generation-7/0': layer });
  await fixture.write(store, [...memory, ...memory.slice(0, 10)], identity, fixture.wakePack, { disks });
  manifest = await readManifest(store, identity, secrets);
  const plain = async (kind: 'pageMap' | 'knownPages'): Promise<Buffer> =>
    secrets.decryptObject(kind, await files.content(keys[kind]), keys[kind]);
  const [pageMap, knownPages] = [await plain('pageMap'), await plain('knownPages')];
  const about = {
    blocks: manifest.blocks,
    diskSources: manifest.diskSources,
    packSizes: manifest.packs.map(({ bytes }) => bytes),
  };
  frames = (await PageMap.decode(pageMap, about, 'page-map')).frames.length;
  const table = await FrameTable.decode(pageMap, 16, frames, about.packSizes, 'page-map');
  const run = pageMap.subarray(16 + 4, table.end);

  decoders.set('page map', { whole: pageMap, decode: (input) => PageMap.decode(input, about, 'page-map') });
  decoders.set('frame table', {
    whole: pageMap.subarray(16, table.end),
    decode: (input) => FrameTable.decode(input, 0, frames, about.packSizes, 'page-map'),
  });
  decoders.set('content of a frame table', {
    whole: await unzstd.decode(run),
    decode: async (input) => {
      const compressed = await zstd.encode(input);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(compressed.length);
      return FrameTable.decode(Buffer.concat([length, compressed]), 0, frames, about.packSizes, 'page-map');
    },
  });
  decoders.set('list of columns', {
    whole: pageMap.subarray(16, table.end),
    decode: (input) => decodeColumns(input, 0, frames, [2, 1, 1, 4, 8], 'page-map', () => undefined),
  });
  decoders.set('known pages', {
    whole: knownPages,
    decode: async (input) => decodeKnownPages(input, { frames, diskSources: about.diskSources }, 'known-pages'),
  });
  const wakeSet = { pages: Uint32Array.of(3, 1, 2), ranksMs: Uint32Array.of(0, 5, 5), onTrial: 1 };
  const objects = { wakePack: 'wake-pack', wakePages: 'wake-pages' };
  const writer = new WakePackWriter((page) => fixture.wild(page), secrets, objects);
  wakePages = Buffer.concat(await writer.encodeAhead(wakeSet));
  const wakePack = Buffer.concat(await writer.encode(fixture.wakePack, wakeSet, (page) => page !== 1)); // so that places are not used
  decoders.set('wake pack', { whole: wakePack, decode: (input) => readWakeSet(input, wakePages) });
  decoders.set('wake pages', { whole: wakePages, decode: (input) => readWakeSet(wakePack, input) });
  const headBytes = wakePack.readUInt32LE(16);
  const sealedHead = wakePack.subarray(20, 20 + headBytes);
  const head = await unzstd.decode(
    secrets.decryptSegment('wakePack', wakePack.subarray(0, 16), 0, sealedHead, 'wake-pack'),
  );
  decoders.set('head of a wake pack', { whole: head, decode: async (input) => decodeHead(input, 100, 'wake-pack') });
  const requests = { pages: Uint32Array.of(1, 2), atUs: Uint32Array.of(3, 4), stallUs: Uint32Array.of(5, 6) };
  const facts = {
    operationId: 'one',
    startedAt: '2026-01-02T03:04:05.678Z',
    runningMs: 70,
    hydratedMs: 900.5,
    blocked: null,
  };
  const trace = { ...facts, ahead: Uint32Array.of(7, 8, 9), beforeRunning: 2, requests };
  decoders.set('trace', { whole: encodeTrace(trace), decode: async (input) => decodeTrace(input, 100, 'trace') });
  const stored = await files.content(keys.manifest);
  decoders.set('manifest', { whole: stored, decode: async (input) => decodeManifest(input, secrets, 'manifest') });
  await store.close();
  await files.remove();
});

const startBytes = 64;

/** A wake pack and wake pages that are as long as their manifest says, whatever they hold. */
async function readWakeSet(wakePack: Buffer, pages: Buffer): Promise<unknown> {
  const stored: Readonly<Record<string, Buffer>> = { 'wake-pack': wakePack, 'wake-pages': pages };
  const store = {
    read: async (key: string, range: BlobRange) => stored[key]!.subarray(range.offset, range.offset + range.length),
  };
  const startOf = (object: Buffer) => ({ content: Promise.resolve(object.subarray(0, startBytes)), most: startBytes });
  const referenceTo = ({ length }: Buffer) => ({ bytes: length, sha256: '' });
  const reader = new WakePackReader(
    {
      store: store as unknown as BlobStore,
      keys: { wakePack: 'wake-pack', wakePages: 'wake-pages' },
      secrets,
      starts: { wakePack: startOf(wakePack), wakePages: startOf(pages) },
      wakePack: referenceTo(wakePack),
      wakePages: referenceTo(pages),
    },
    100,
  );
  const read: Buffer[] = [];
  for await (const content of reader.content()) read.push(content);
  return { ...(await reader.head()), read };
}

describe.each([
  'page map',
  'frame table',
  'content of a frame table',
  'list of columns',
  'known pages',
  'wake pack',
  'wake pages',
  'head of a wake pack',
  'trace',
  'manifest',
])('a %s', (name) => {
  const decoder = () => decoders.get(name)!;

  async function isReadOrRefused(input: Buffer): Promise<void> {
    try {
      await decoder().decode(input);
    } catch (error) {
      if (!isDormouseError(error)) throw error;
      expect(error.code).toMatch(/^(CHECKPOINT_CORRUPT|FORMAT_UNSUPPORTED|CHECKPOINT_KEY_MISMATCH)$/);
      expect(error.details['object']).toEqual(expect.any(String));
    }
  }

  test('as it was written is read', async () => {
    await expect(decoder().decode(decoder().whole)).resolves.toBeDefined();
  });

  test('with anything done to it is read or refused, in little memory', async () => {
    const before = process.memoryUsage().rss;
    await fc.assert(fc.asyncProperty(mutated(decoder().whole), isReadOrRefused), { numRuns: 600 });
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * 2 ** 20);
  });

  test('that is anything at all is read or refused', async () => {
    const anything = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
    await fc.assert(fc.asyncProperty(anything, isReadOrRefused), { numRuns: 300 });
  });

  test('that is cut off anywhere is refused', async () => {
    const { whole, decode } = decoder();
    const step = Math.max(1, Math.floor(whole.length / 300));
    for (let length = 0; length < whole.length; length += step) {
      await expect(decode(whole.subarray(0, length))).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
    }
  });
});
