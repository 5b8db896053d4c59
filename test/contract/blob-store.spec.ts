import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openBlobStore, putBlob, type BlobStore } from '@dormouse/storage';
import { S3Gate, s3Url, startS3Server, type S3Server } from './s3-server';

jest.setTimeout(60_000);

const MiB = 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let directory: string;
let server: S3Server;
let gate: S3Gate;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-blobs-'));
  server = await startS3Server(join(directory, 's3'));
  gate = await S3Gate.open(server.port);
});

afterAll(async () => {
  await gate.close();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Each adapter, and where its stores are; a store of another number is empty. */
const adapters = [
  ['fs', (number: number) => `file://${directory}/fs/${number}`],
  ['s3', (number: number) => s3Url(gate.port, `prefix/${number}`)],
] as const;

describe.each(adapters)('%s', (_name, urlOf) => {
  let storesOpened = 0;
  let store: BlobStore;

  beforeEach(async () => {
    store = await openBlobStore(urlOf(++storesOpened));
  });
  afterEach(() => store.close());

  /** What somebody else sees who opens the store now. */
  async function keysSeenByOthers(prefix = ''): Promise<string[]> {
    const other = await openBlobStore(urlOf(storesOpened));
    try {
      return await keysOf(other, prefix);
    } finally {
      await other.close();
    }
  }

  test('an object is there after its commit and not a moment before', async () => {
    const writer = await store.create('desk-1/manifest.json');
    await writer.write(Buffer.from('half, '));
    expect(await keysSeenByOthers()).toEqual([]);
    await expect(store.read('desk-1/manifest.json')).rejects.toMatchObject({ code: 'STORAGE_OBJECT_MISSING' });
    await writer.write(Buffer.from('and whole'));
    await writer.commit();
    expect(await keysSeenByOthers()).toEqual(['desk-1/manifest.json']);
    expect((await store.read('desk-1/manifest.json')).toString()).toBe('half, and whole');
  });

  test.each([0, 1, 10 * MiB])('nothing is there after an abort of %d written bytes', async (bytes) => {
    const writer = await store.create('given-up');
    await writer.write(Buffer.alloc(bytes, 7));
    await writer.abort();
    await writer.abort();
    expect(await keysSeenByOthers()).toEqual([]);
    await expect(writer.write(Buffer.from('more'))).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    await putBlob(store, 'given-up', Buffer.from('the key is free'));
  });

  test('an abort after the commit changes nothing', async () => {
    const writer = await store.create('kept');
    await writer.write(Buffer.from('kept'));
    await writer.commit();
    await writer.abort();
    expect((await store.read('kept')).toString()).toBe('kept');
  });

  test('an object may be empty', async () => {
    await putBlob(store, 'empty', Buffer.alloc(0));
    expect(await store.read('empty')).toEqual(Buffer.alloc(0));
    expect((await store.stat('empty')).bytes).toBe(0);
  });

  test('a range is answered with exactly its bytes', async () => {
    const content = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
    await putBlob(store, 'pack', content);
    for (const [offset, length] of [
      [0, 2],
      [4096, 904],
      [17, 1],
      [4999, 1],
      [0, 5000],
      [100, 0],
      [5000, 0],
    ] as const) {
      expect(await store.read('pack', { offset, length })).toEqual(content.subarray(offset, offset + length));
    }
  });

  test.each([
    [4999, 2],
    [5000, 1],
    [9000, 10],
    [5001, 0],
    [0, Number.MAX_SAFE_INTEGER],
    [-1, 2],
    [0.5, 1],
  ])('a range past the end, or none at all, is refused: %d + %d of 5000', async (offset, length) => {
    await putBlob(store, 'pack', Buffer.alloc(5000));
    await expect(store.read('pack', { offset, length })).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
      details: { key: 'pack' },
    });
  });

  test('the first bytes of an object are as many as it has', async () => {
    const content = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
    await putBlob(store, 'pack', content);
    for (const most of [2, 4999, 5000, 5001, 1e6]) {
      expect(await store.readStart('pack', most)).toEqual(content.subarray(0, most));
    }
    await expect(store.readStart('not-there', 10)).rejects.toMatchObject({ code: 'STORAGE_OBJECT_MISSING' });
  });

  test('a listing holds what begins with the prefix, with size and age', async () => {
    const before = Date.now();
    for (const key of ['desk-1/a/pack-0', 'desk-1/a/pack-10', 'desk-1/b/pack-1', 'desk-10/a/pack-0', 'other']) {
      await putBlob(store, key, Buffer.alloc(key.length));
    }
    expect(await keysOf(store, 'desk-1/')).toEqual(['desk-1/a/pack-0', 'desk-1/a/pack-10', 'desk-1/b/pack-1']);
    expect(await keysOf(store, 'desk-1/a/pack-1')).toEqual(['desk-1/a/pack-10']);
    expect(await keysOf(store, 'desk')).toHaveLength(4);
    expect(await keysOf(store, '')).toHaveLength(5);
    expect(await keysOf(store, 'nobody/')).toEqual([]);
    for await (const { key, bytes, modifiedAt } of store.list('other')) {
      expect({ key, bytes }).toEqual({ key: 'other', bytes: 5 });
      expect(Math.abs(modifiedAt.getTime() - before)).toBeLessThan(60_000);
    }
  });

  test('a deleted object is gone, its neighbours are not, and deleting it again is fine', async () => {
    await putBlob(store, 'desk/a/1', Buffer.from('one'));
    await putBlob(store, 'desk/a/2', Buffer.from('two'));
    await store.read('desk/a/1', { offset: 0, length: 2 });
    await store.delete('desk/a/1');
    await store.delete('desk/a/1');
    await store.delete('never/was');
    await store.delete('desk/a');
    expect(await keysSeenByOthers()).toEqual(['desk/a/2']);
    await expect(store.read('desk/a/1', { offset: 0, length: 2 })).rejects.toMatchObject({
      code: 'STORAGE_OBJECT_MISSING',
    });
  });

  test.each(['read', 'stat'] as const)('%s of what is not there names the key', async (method) => {
    await putBlob(store, 'desk/a/1', Buffer.from('one'));
    for (const key of ['gone', 'desk/a', 'desk/a/2', 'desk/a/1/x']) {
      await expect(store[method](key)).rejects.toMatchObject({ code: 'STORAGE_OBJECT_MISSING', details: { key } });
    }
  });

  test.each([
    '',
    '/etc/passwd',
    '../x',
    'a/../b',
    'a/./b',
    'a//b',
    'a/',
    '.hidden',
    'ä',
    'a b',
    'a\0b',
    'x'.repeat(600),
  ])('the key %j is refused by every method', async (key) => {
    const refused = { code: 'STORAGE_FAILED', details: { key } };
    await expect(store.create(key)).rejects.toMatchObject(refused);
    await expect(store.read(key)).rejects.toMatchObject(refused);
    await expect(store.stat(key)).rejects.toMatchObject(refused);
    await expect(store.delete(key)).rejects.toMatchObject(refused);
  });

  test.each(['x'.repeat(256), 'a/'.repeat(300) + 'a'])(
    'a key is refused when no file could be named so: %#',
    async (key) => {
      await expect(store.create(key)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    },
  );

  test('a listing does not climb out of the store', async () => {
    await expect(keysOf(store, '../')).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    await expect(keysOf(store, '/')).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  });

  test('an object that is there is never written again', async () => {
    await putBlob(store, 'once', Buffer.from('first'));
    const again = putBlob(store, 'once', Buffer.from('second'));
    await expect(again).rejects.toMatchObject({ code: 'STORAGE_FAILED', details: { key: 'once' } });
    expect((await store.read('once')).toString()).toBe('first');
  });

  test('writers of different keys do not get in each other’s way', async () => {
    const keys = Array.from({ length: 8 }, (_, index) => `desk/${index % 2}/pack-${index}`);
    const writers = await Promise.all(keys.map((key) => store.create(key)));
    for (let round = 0; round < 3; round++) {
      await Promise.all(writers.map((writer, index) => writer.write(Buffer.alloc(100_000, index))));
    }
    await Promise.all(writers.map((writer) => writer.commit()));
    for (const [index, key] of keys.entries())
      expect((await store.read(key)).equals(Buffer.alloc(300_000, index))).toBe(true); // toEqual takes 0.3 s for each
  });

  test('96 MiB go in with bounded memory and come out the same', async () => {
    const chunk = Buffer.alloc(MiB - 1);
    const written = createHash('sha256');
    const writer = await store.create('big');
    const before = usedBytes();
    let mostBytes = 0;
    for (let index = 0; index < 96; index++) {
      chunk.fill(index); // the same memory each time: the writer must be done with it
      written.update(chunk);
      await writer.write(chunk);
      if (index % 8 === 7) mostBytes = Math.max(mostBytes, usedBytes() - before);
    }
    await writer.commit();
    expect(mostBytes).toBeLessThan(40 * MiB);

    const { bytes } = await store.stat('big');
    expect(bytes).toBe(96 * chunk.length);
    const read = createHash('sha256');
    for (let offset = 0; offset < bytes; offset += 5 * MiB) {
      read.update(await store.read('big', { offset, length: Math.min(5 * MiB, bytes - offset) }));
    }
    expect(read.digest('hex')).toBe(written.digest('hex'));
  });
});

/** In buffers that somebody still holds. */
function usedBytes(): number {
  collectGarbage();
  collectGarbage(); // what the first has found is freed beside the program: this one waits until it is
  return process.memoryUsage().arrayBuffers;
}

async function keysOf(store: BlobStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys.sort();
}
