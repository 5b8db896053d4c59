import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBlobStore, putBlob, type BlobStore } from '@dormouse/storage';
import { S3Gate, s3Url, startS3Server, type S3Server } from './s3-server';

jest.setTimeout(60_000);

const MiB = 1024 * 1024;

let directory: string;
let server: S3Server;
let gate: S3Gate;
let store: BlobStore;
let opened = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-s3-'));
  server = await startS3Server(directory);
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  gate = await S3Gate.open(server.port);
  store = await openBlobStore(s3Url(gate.port, `test-${++opened}`));
});
afterEach(async () => {
  await store.close();
  await gate.close();
});

/** The gate does this to the first request of the operation and lets all others pass. */
function onceAt(operation: string, verdict: ReturnType<S3Gate['decide']>): void {
  let done = false;
  gate.decide = (seen) => {
    if (done || seen !== operation) return 'pass';
    done = true;
    return verdict;
  };
}

const part = 'PUT partNumber uploadId';

test('parts travel while the object is still being written', async () => {
  const writer = await store.create('pack');
  for (let index = 0; index < 33; index++) await writer.write(Buffer.alloc(MiB, index));
  expect(gate.seen.filter((operation) => operation === part).length).toBeGreaterThanOrEqual(2);
  expect(gate.seen).not.toContain('POST uploadId');
  await writer.commit();
  expect(gate.seen.filter((operation) => operation === part)).toHaveLength(5);
  expect((await store.read('pack', { offset: 32 * MiB, length: 2 })).toJSON().data).toEqual([32, 32]);
});

test('a whole object that is larger than one may be is told from the answer’s head, and its content is not read', async () => {
  await putBlob(store, 'trace', Buffer.alloc(0));
  const { bucketDirectory } = server;
  await truncate(join(bucketDirectory, `test-${opened}`, 'trace._S3rver_object'), 3 * 1024 * MiB);
  const before = process.memoryUsage().arrayBuffers;
  await expect(store.read('trace')).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MiB);
  expect((await store.read('trace', { offset: 2 ** 31, length: 3 })).toJSON().data).toEqual([0, 0, 0]);
});

test('an object of one part takes a single request', async () => {
  await putBlob(store, 'manifest', Buffer.alloc(8 * MiB));
  expect(gate.seen).toEqual(['PUT']);
});

test('an abort ends the upload after its last part has come to rest', async () => {
  const writer = await store.create('pack');
  for (let index = 0; index < 20; index++) await writer.write(Buffer.alloc(MiB));
  await writer.abort();
  expect(gate.seen.at(-1)).toBe('DELETE uploadId');
});

test('what S3 throttles is sent again', async () => {
  onceAt('PUT', { status: 503, code: 'SlowDown' });
  await putBlob(store, 'manifest', Buffer.from('sent twice'));
  expect(gate.seen).toEqual(['PUT', 'PUT']);
  expect((await store.read('manifest')).toString()).toBe('sent twice');
});

test('an answer that breaks off is asked for again', async () => {
  await putBlob(store, 'pack', Buffer.alloc(100_000, 5));
  onceAt('GET', 'cut');
  expect(await store.read('pack', { offset: 10, length: 50_000 })).toEqual(Buffer.alloc(50_000, 5));
  expect(gate.seen.filter((operation) => operation === 'GET')).toHaveLength(2);
});

test('an empty object, of which S3 says that no range is in it, has no first bytes', async () => {
  gate.decide = () => ({ status: 416, code: 'InvalidRange' });
  expect(await store.readStart('nothing', 100)).toEqual(Buffer.alloc(0));
});

test('a full server is STORAGE_FULL, for a small object and for a part', async () => {
  gate.decide = (operation) => (operation.startsWith('PUT') ? { status: 507, code: 'XMinioStorageFull' } : 'pass');
  await expect(putBlob(store, 'small', Buffer.from('x'))).rejects.toMatchObject({
    code: 'STORAGE_FULL',
    details: { key: 'small' },
  });
  await expect(putBlob(store, 'large', Buffer.alloc(20 * MiB))).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  expect(gate.seen).toContain('DELETE uploadId');
});

test('a commit that is refused because our own first try got through has succeeded', async () => {
  // The first answer is lost, the repeated request meets the object that the first one made.
  let puts = 0;
  gate.decide = (operation) => {
    if (operation !== 'PUT') return 'pass';
    return ++puts === 1 ? 'cut' : { status: 412, code: 'PreconditionFailed' };
  };
  await putBlob(store, 'manifest', Buffer.from('ours'));
  expect((await store.read('manifest')).toString()).toBe('ours');
});

test('a commit that is refused because another was first leaves the other’s object alone', async () => {
  const writer = await store.create('manifest');
  await writer.write(Buffer.from('late'));
  await putBlob(store, 'manifest', Buffer.from('first'));
  onceAt('PUT', { status: 412, code: 'PreconditionFailed' });
  await expect(writer.commit()).rejects.toMatchObject({ code: 'STORAGE_FAILED', details: { key: 'manifest' } });
  await writer.abort();
  expect((await store.read('manifest')).toString()).toBe('first');
});

test('a listing goes on past the thousand keys of one page', async () => {
  await putBlob(store, 'desk/first', Buffer.from('1'));
  const folder = join(server.bucketDirectory, `test-${opened}`, 'desk');
  await Promise.all(
    Array.from({ length: 1_100 }, (_, index) => writeFile(join(folder, `pack-${index}._S3rver_object`), '')),
  );
  let keys = 0;
  for await (const { key } of store.list('desk/')) keys += key.startsWith('desk/') ? 1 : 0;
  expect(keys).toBe(1_101);
  expect(gate.seen.filter((operation) => operation.includes('list-type'))).toHaveLength(2);
});

test('a bucket that does not exist is not taken for a missing object', async () => {
  const elsewhere = await openBlobStore(s3Url(gate.port).replace('checkpoints', 'no-such-bucket'));
  await expect(elsewhere.read('key')).rejects.toMatchObject({
    code: 'STORAGE_FAILED',
    message: expect.stringContaining('NoSuchBucket'),
  });
  await elsewhere.close();
});

test('wrong credentials are an error that does not repeat them', async () => {
  const stranger = await openBlobStore(s3Url(gate.port).replace('S3RVER:S3RVER', 'STRANGER:hunter2'));
  const error = await stranger.read('key').catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'STORAGE_FAILED', message: expect.stringContaining('InvalidAccessKeyId') });
  expect(JSON.stringify(error)).not.toContain('hunter2');
  await stranger.close();
});
