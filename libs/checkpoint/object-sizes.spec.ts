import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBlobStore, putBlob, type BlobStore } from '@dormouse/storage';
import { mostStoredBytes } from './layout';
import { objectKeys } from './object-keys';
import { readManifest, readObject } from './read-objects';
import { readTraces, writeTrace, type WakeTrace } from './wake-trace';

/** What lies in the storage may be of any size: a sparse file costs whoever makes it nothing. */
const identity = { desktopId: 'ada', checkpointId: '00000000-0000-4000-8000-000000000001' };
const keys = objectKeys(identity.desktopId, identity.checkpointId);
const dataKey = { keyId: 'one', key: Buffer.alloc(32, 1) };
const huge = 3 * 2 ** 30;
const trace: WakeTrace = {
  operationId: 'op',
  startedAt: '2030-01-01T00:00:00.000Z',
  runningMs: 1,
  hydratedMs: 2,
  blocked: null,
  ahead: new Uint32Array([1]),
  beforeRunning: 1,
  requests: { pages: new Uint32Array([2]), atUs: new Uint32Array([3]), stallUs: new Uint32Array([4]) },
};

let root: string;
let store: BlobStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dormouse-sizes-'));
  store = await openBlobStore(`file://${root}`);
});
afterEach(async () => {
  await store.close();
  await rm(root, { recursive: true });
});

async function sparse(key: string, bytes: number): Promise<void> {
  await putBlob(store, key, Buffer.alloc(0));
  const file = await open(join(root, key), 'r+');
  await file.truncate(bytes);
  await file.close();
}

/** How much more memory than before was in use at some time of the work. */
async function memoryOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers - before)), 1);
  await work();
  clearInterval(timer);
  return most;
}

test('a trace that is larger than traces are is told and not read; the others are', async () => {
  await writeTrace(store, identity, dataKey, trace);
  await sparse(keys.trace('sparse'), huge);
  await sparse(keys.trace('just-too-large'), mostStoredBytes.wakeTrace + 1);
  const told: [string, number][] = [];
  const onTooLarge = (key: string, bytes: number): void => void told.push([key, bytes]);
  const used = await memoryOf(async () => {
    const read = await readTraces(store, identity, dataKey, { pages: 8, most: 8, onTooLarge });
    expect(read.map(({ operationId }) => operationId)).toEqual(['op']);
  });
  expect(told.sort()).toEqual([
    [keys.trace('just-too-large'), mostStoredBytes.wakeTrace + 1],
    [keys.trace('sparse'), huge],
  ]);
  expect(used).toBeLessThan(2 ** 26);
});

test('a manifest that is larger than manifests are is damaged, and no more of it is read than one can have', async () => {
  await sparse(keys.manifest, huge);
  const used = await memoryOf(() =>
    expect(readManifest(store, identity, null)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      details: { object: keys.manifest },
    }),
  );
  expect(used).toBeLessThan(2 ** 26);
});

test('an object of another size than the manifest says is damaged, however large it is; so is a size that none can have', async () => {
  await sparse(keys.pageMap, huge);
  const reference = { bytes: 100, sha256: '0'.repeat(64) };
  const damaged = { code: 'CHECKPOINT_CORRUPT', details: { object: keys.pageMap } };
  await expect(readObject(store, keys.pageMap, reference, 1000)).rejects.toMatchObject(damaged);
  await expect(readObject(store, keys.pageMap, { ...reference, bytes: huge }, 2 ** 30)).rejects.toMatchObject(damaged);
});

test('whoever asks for a whole object without saying how large it may be is not given one of any size', async () => {
  await sparse('some/object', huge);
  await expect(store.read('some/object')).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
});
