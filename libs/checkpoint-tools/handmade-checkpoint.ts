import { createCipheriv, createHash, createHmac, hkdfSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Encoder } from '@toondepauw/node-zstd';
import { openBlobStore, type BlobStore } from '@dormouse/storage';

/**
 * For tests only: an encoder of checkpoints that follows `docs/checkpoint-format.md` word by word and shares nothing with
 * those who read them. What it makes is made whole and sealed also where it is wrong on purpose, so that the checks behind
 * digests and tags are reached.
 */

export interface Plan {
  readonly desktopId: string;
  readonly checkpointId: string;
  readonly keyId: string;
  readonly dataKey: Buffer;
  readonly contentKey: Buffer;
  readonly blocks: readonly { readonly name: string; readonly bytes: number }[];
  /** Each frame has sixteen pages. */
  readonly packs: readonly {
    readonly checkpointId: string;
    readonly number: number;
    readonly frames: readonly { readonly slots: readonly Buffer[]; readonly compressed: boolean }[];
  }[];
  readonly sources: readonly { readonly name: string; readonly content: Buffer }[];
  readonly pages: readonly Place[];
  /** Of the wake pack, whole segments when there are wake pages. Null is a place that is not used. */
  readonly wakeSet: readonly (number | null)[];
  readonly wakePages: readonly number[];
  readonly workingSet: Buffer;
  readonly layers: readonly { readonly source: number; readonly block: number }[];
  readonly configuration: Buffer;
  readonly deviceState: Buffer;
}

export type Place =
  'zero' | { readonly frame: number; readonly slot: number } | { readonly source: number; readonly block: number };

/** Changes to what is about to be sealed. */
export interface Twists {
  readonly manifest?: (manifest: Record<string, unknown>) => Record<string, unknown>;
  readonly pageMap?: (plaintext: Buffer) => Buffer;
  readonly knownPages?: (plaintext: Buffer) => Buffer;
  /** Before it is compressed. */
  readonly wakePack?: (content: Buffer) => Buffer;
  /** Of a frame, by its number, before it is encrypted. */
  readonly frame?: (content: Buffer, frame: number) => Buffer;
}

export const page = 4096;

/** Bytes that do not compress, the same for the same seed. */
export function wild(seed: number, bytes = page): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}

const dull = (seed: number): Buffer => Buffer.alloc(page, `${seed} `);

/**
 * A bit of everything: three packs, one of them an earlier checkpoint's, an image and a layer, pages that share a place,
 * dead slots, a wake set with pages of every kind.
 */
export function samplePlan(seed = 0): Plan {
  const content = (n: number): Buffer => (n % 3 === 0 ? wild(seed + n) : dull(seed + n));
  const frame = (first: number, compressed: boolean) => ({
    slots: Array.from({ length: 16 }, (_, slot) => content(first + slot)),
    compressed,
  });
  const checkpointId = '0b0e1c1a-0000-4000-8000-000000000002';
  const earlier = '0b0e1c1a-0000-4000-8000-000000000001';
  const pages: Place[] = [];
  for (let n = 0; n < 64; n++) {
    if (n % 8 === 0) pages.push('zero');
    else if (n % 8 === 5) pages.push({ source: (n >> 3) % 2, block: (n * 7) % 11 });
    else if (n % 8 === 6) pages.push({ source: 1, block: 12 - (n >> 3) });
    else pages.push({ frame: n % 5, slot: (n * 3) % 14 });
  }
  return {
    desktopId: 'desk-1',
    checkpointId,
    keyId: '00000000-0000-4000-8000-00000000000a',
    dataKey: Buffer.alloc(32, 0xd1),
    contentKey: Buffer.alloc(32, 0xc2),
    blocks: [
      { name: 'pc.ram', bytes: 50 * page },
      { name: '/rom@etc/acpi', bytes: 14 * page },
    ],
    packs: [
      { checkpointId, number: 0, frames: [frame(0, true), frame(100, false)] },
      { checkpointId: earlier, number: 3, frames: [frame(200, true), frame(300, true)] },
      { checkpointId, number: 1, frames: [frame(400, true)] },
    ],
    sources: [
      { name: 'image/0', content: wild(seed + 1000, 13 * page) },
      { name: '7c9e6679-7425-40de-944b-e07fc1f90ae7/0', content: wild(seed + 2000, 14 * page + 100) },
    ],
    pages,
    wakeSet: [...new Array<null>(58).fill(null), 0, 1, 5, 6, 63, 17],
    wakePages: [2, 7],
    workingSet: Buffer.from('what was learned of wakes'),
    layers: [
      { source: 1, block: 5 },
      { source: 1, block: 12 },
    ],
    configuration: Buffer.from('machine name and more'),
    deviceState: wild(seed + 3000, 300),
  };
}

/** The 4096 bytes of a page of the guest. */
export function contentOf(plan: Plan, number: number): Buffer {
  const place = plan.pages[number]!;
  if (place === 'zero') return Buffer.alloc(page);
  if ('frame' in place) return plan.packs.flatMap(({ frames }) => frames)[place.frame]!.slots[place.slot]!;
  return plan.sources[place.source]!.content.subarray(place.block * page, (place.block + 1) * page);
}

/** Every object of a checkpoint by its key. */
export function encodeCheckpoint(plan: Plan, twists: Twists = {}): Map<string, Buffer> {
  const prefix = `desktops/${plan.desktopId}/checkpoints/`;
  const objects = new Map<string, Buffer>();
  const frameRows: bigint[][] = [];
  const packs = plan.packs.map(({ checkpointId, number, frames }, pack) => {
    let offset = 0;
    const stored = frames.map(({ slots, compressed }) => {
      const plain = Buffer.concat(slots);
      const encoded = (twists.frame ?? same)(compressed ? zstd(plain) : plain, frameRows.length);
      const sealed = encrypt(derive(plan, checkpointId, 'pack'), Buffer.concat([u32(number), u64(offset)]), encoded);
      frameRows.push([pack, compressed ? 1 : 0, 0, sealed.length, offset].map(BigInt));
      offset += sealed.length;
      return sealed;
    });
    const content = Buffer.concat(stored);
    objects.set(`${prefix}${checkpointId}/pack-${String(number).padStart(5, '0')}`, content);
    return { checkpointId, number, ...reference(content) };
  });
  const store = (name: string, content: Buffer): ReturnType<typeof reference> => {
    objects.set(`${prefix}${plan.checkpointId}/${name}`, content);
    return reference(content);
  };
  const put = (name: string, header: Buffer, plaintext: Buffer): ReturnType<typeof reference> => {
    const sealed = encrypt(derive(plan, plan.checkpointId, name), Buffer.alloc(12), plaintext, header);
    return store(name, Buffer.concat([header, sealed]));
  };
  const mapped = (twists.pageMap ?? same)(pageMapOf(plan, frameRows));
  const pageMap = put('page-map', Buffer.concat([Buffer.from('DMPM'), u16(3), u16(0), u64(mapped.length)]), mapped);
  const known = (twists.knownPages ?? same)(knownPagesOf(plan));
  const knownPages = put('known-pages', Buffer.concat([Buffer.from('DMKP'), u16(4), u16(0), u64(0)]), known);
  const pack = (twists.wakePack ?? same)(wakePackOf(plan));
  const wakePack = store('wake-pack', segmented(plan, { name: 'wake-pack', magic: 'DMWP' }, pack, plan.wakeSet.length));
  const early = Buffer.concat(plan.wakePages.map((number) => contentOf(plan, number)));
  const wakePages =
    early.length === 0
      ? null
      : store('wake-pages', segmented(plan, { name: 'wake-pages', magic: 'DMWS' }, early, plan.wakePages.length));
  const kindCount = (kind: number): number => plan.pages.filter((place) => kindOf(place) === kind).length;
  const own = packs.filter(({ checkpointId }) => checkpointId === plan.checkpointId);
  const inFrames = kindCount(2);
  const superseded = 4;
  const duplicate = Math.min(2, inFrames);
  const previous = Math.min(1, kindCount(3));
  const manifest = {
    checkpointId: plan.checkpointId,
    desktopId: plan.desktopId,
    createdAt: '2026-01-02T03:04:05.678Z',
    keyId: plan.keyId,
    lineage: { previous: '0b0e1c1a-0000-4000-8000-000000000001', depth: 1 },
    fingerprint: { machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: 64 },
    diskGeneration: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
    diskSources: plan.sources.map(({ name, content }) => ({ name, blocks: Math.floor(content.length / page) })),
    blocks: plan.blocks,
    pageMap,
    knownPages,
    wakePack,
    wakePages,
    packs,
    pages: {
      total: plan.pages.length,
      zero: kindCount(1),
      previous,
      disk: kindCount(3) - previous,
      duplicate,
      stored: inFrames - duplicate,
      superseded,
      wakeSet: [...plan.wakeSet, ...plan.wakePages].filter((number) => number !== null).length,
    },
    bytes: {
      raw: (inFrames - duplicate + superseded) * page,
      written: [...own, pageMap, knownPages, wakePack, wakePages].reduce((sum, one) => sum + (one?.bytes ?? 0), 0),
    },
  };
  const json = Buffer.from(JSON.stringify((twists.manifest ?? same)(manifest)));
  objects.set(`${prefix}${plan.checkpointId}/manifest`, sealManifest(plan, json));
  return objects;
}

export function sealManifest(plan: Plan, json: Buffer, version = '3'): Buffer {
  const digest = createHash('sha256').update(json).digest('hex');
  const seal = createHmac('sha256', derive(plan, plan.checkpointId, 'manifest'))
    .update(json)
    .digest('hex');
  return Buffer.concat([Buffer.from(`dormouse-manifest ${version} ${digest} ${seal}\n`), json]);
}

export function pageMapOf(plan: Plan, frameRows: readonly (readonly bigint[])[]): Buffer {
  const onDisk = plan.pages.flatMap((place, n) => (kindOf(place) === 3 ? [n] : []));
  const pageRows = plan.pages.map((place) => {
    if (place === 'zero') return [1n, 0n, 0n, 0n];
    if ('frame' in place) return [2n, BigInt(place.slot), 0n, BigInt(place.frame)];
    return [3n, 0n, BigInt(place.source), BigInt(place.block)];
  });
  return Buffer.concat([
    ...[plan.pages.length, frameRows.length, onDisk.length, 0].map(u32),
    list(frameRows, [2, 1, 1, 4, 8], 4),
    list(pageRows, [1, 1, 2, 4], 3),
    ...onDisk.map((n) => hash(plan, contentOf(plan, n)).subarray(0, 8)),
  ]);
}

/** Runs of columns; that of index `difference` is stored as differences. */
function list(rows: readonly (readonly bigint[])[], widths: readonly number[], difference: number): Buffer {
  const runs: Buffer[] = [];
  for (let from = 0; from < rows.length; from += 65_536) {
    const some = rows.slice(from, from + 65_536);
    const columns = widths.flatMap((width, column) =>
      some.map((row, n) => {
        const before = column === difference && n > 0 ? some[n - 1]![column]! : 0n;
        const bytes = Buffer.alloc(8);
        bytes.writeBigUInt64LE(BigInt.asUintN(width * 8, row[column]! - before));
        return bytes.subarray(0, width);
      }),
    );
    const run = zstd(Buffer.concat(columns));
    runs.push(u32(run.length), run);
  }
  return Buffer.concat(runs);
}

function knownPagesOf(plan: Plan): Buffer {
  const live = new Set(plan.pages.flatMap((place) => (place !== 'zero' && 'frame' in place ? [keyOf(place)] : [])));
  const frames = plan.packs.flatMap(({ frames }) => frames);
  return Buffer.concat([
    ...frames.flatMap(({ slots }, frame) =>
      slots.map((content, slot) => (live.has(keyOf({ frame, slot })) ? hash(plan, content) : Buffer.alloc(16))),
    ),
    ...plan.layers.flatMap(({ source, block }) => [
      hash(plan, plan.sources[source]!.content.subarray(block * page, (block + 1) * page)),
      u16(source),
      u16(0),
      u32(block),
    ]),
    plan.workingSet,
    ...[frames.length, plan.layers.length, plan.workingSet.length, 0].map(u32),
  ]);
}

function wakePackOf(plan: Plan): Buffer {
  const places = [...plan.wakeSet, ...plan.wakePages];
  return Buffer.concat([
    ...[plan.configuration.length, plan.deviceState.length, places.length, 0].map(u32),
    plan.configuration,
    plan.deviceState,
    ...places.map((number) => u32(number ?? 0xffffffff)),
    ...places.map((_, n) => u32(n * 3)),
    ...plan.wakeSet.map((number) => (number === null ? wild(7) : contentOf(plan, number))),
  ]);
}

/** The head of a wake pack, when there is one, and the content of pages, 64 at a time; each compressed and encrypted for itself. */
function segmented(
  plan: Plan,
  { name, magic }: { name: string; magic: string },
  whole: Buffer,
  places: number,
): Buffer {
  const contentAt = whole.length - places * page;
  const parts = contentAt === 0 ? [] : [whole.subarray(0, contentAt)];
  for (let at = contentAt; at < whole.length; at += 64 * page) parts.push(whole.subarray(at, at + 64 * page));
  const compressed = parts.map(zstd);
  const bytes = compressed.reduce((sum, { length }) => sum + 4 + length + 16, 0);
  const header = Buffer.concat([Buffer.from(magic), u16(4), u16(0), u64(bytes)]);
  const key = derive(plan, plan.checkpointId, name);
  const place = Buffer.from(`desktops/${plan.desktopId}/checkpoints/${plan.checkpointId}/${name}`);
  const sealed = compressed.flatMap((part, n) => [
    u32(part.length + 16),
    encrypt(key, Buffer.concat([u32(n), Buffer.alloc(8)]), part, Buffer.concat([header, place])),
  ]);
  return Buffer.concat([header, ...sealed]);
}

const same = <T>(value: T): T => value;
const keyOf = ({ frame, slot }: { frame: number; slot: number }): string => `${frame}/${slot}`;
const kindOf = (place: Place): number => (place === 'zero' ? 1 : 'frame' in place ? 2 : 3);

function hash(plan: Plan, content: Buffer): Buffer {
  const head = createHash('sha256').update(content).digest().subarray(0, 16);
  return createCipheriv('aes-256-ecb', plan.contentKey, null).setAutoPadding(false).update(head);
}

function derive(plan: Plan, checkpointId: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', plan.dataKey, Buffer.from(checkpointId), `dormouse 3 ${purpose}`, 32));
}

function encrypt(key: Buffer, nonce: Buffer, plaintext: Buffer, additional?: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  if (additional !== undefined) cipher.setAAD(additional);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function reference(content: Buffer): { bytes: number; sha256: string } {
  return { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

const encoder = new Encoder(1);

/** One frame that names its content's size: the binding leaves that out, so its header is written anew. */
export function zstd(content: Buffer): Buffer {
  if (content.length === 0) return encoder.encodeSync(content);
  const frame = encoder.encodeSync(content);
  return Buffer.concat([frame.subarray(0, 4), Buffer.of(0x80, frame[5]!), u32(content.length), frame.subarray(6)]);
}

export function u16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16LE(value);
  return buffer;
}

export function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

export function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

/** Objects and disk files in a directory of their own, behind a real file store. */
export class TestShelf {
  private readonly opened: BlobStore[] = [];

  private constructor(readonly directory: string) {}

  static async make(): Promise<TestShelf> {
    return new TestShelf(await mkdtemp(join(tmpdir(), 'dormouse-tools-')));
  }

  /** What a plan makes: its objects and its disk files, replacing what was there of the same names. */
  async put(plan: Plan, twists?: Twists): Promise<Map<string, Buffer>> {
    const objects = encodeCheckpoint(plan, twists);
    for (const [key, content] of objects) await this.write(this.object(key), content);
    for (const { name, content } of plan.sources) await this.write(this.file(name), content);
    return objects;
  }

  async store(): Promise<BlobStore> {
    const store = await openBlobStore(`file://${this.directory}/store`);
    this.opened.push(store);
    return store;
  }

  object(key: string): string {
    return join(this.directory, 'store', key);
  }

  /** The file of a disk source. */
  readonly file = (source: string): string => join(this.directory, 'disks', source);

  async write(path: string, content: Buffer): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }

  async remove(): Promise<void> {
    for (const store of this.opened) await store.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}
