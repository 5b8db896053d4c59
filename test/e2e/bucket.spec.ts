import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBlobStore, putBlob } from '@dormouse/storage';
import { s3Url, startS3Server, type S3Server } from '../contract/s3-server';
import type { RunningDormouse } from '../scenario';
import { filesBelow } from '../scenario/files';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

/** A desktop whose checkpoints live in a bucket, from its first save until nothing of it is left there. */

jest.setTimeout(300_000);

let bed: TestBed;
let s3: S3Server;
let storageUrl: string;
let dormouse: RunningDormouse;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  s3 = await startS3Server(join(bed.dataDir, 's3'));
  storageUrl = s3Url(s3.port);
  dormouse = await bed.start({ STORAGE_URL: storageUrl, GC_GRACE_S: '0' });
  await dormouse.api.putPool('default', { graceMs: 60_000, keepCheckpoints: 1 });
  running = await bed.desktop(dormouse, 'ada');
});
afterAll(async () => {
  await s3?.stop();
  await bed?.end();
});

const checkpoint = (...args: string[]): Promise<Record<string, unknown>> =>
  bed.checkpoint({ STORAGE_URL: storageUrl, GC_GRACE_S: '0' }, ...args);

/** Keys below the desktop's. */
async function objects(): Promise<string[]> {
  const files = await filesBelow(join(s3.bucketDirectory, 'desktops', 'ada'));
  const ending = '._S3rver_object';
  return files.filter((file) => file.endsWith(ending)).map((file) => file.slice(0, -ending.length));
}

const manifests = async (): Promise<string[]> => (await objects()).filter((key) => key.endsWith('/manifest'));

test('it sleeps and wakes out of the bucket, and of each night but the last nothing is left that no checkpoint needs', async () => {
  for (let night = 1; night <= 3; night++) {
    await running.guest.write(`what was written before night ${night}`);
    await bed.sleeps(running);
    running = await bed.wakes(running);
    while ((await manifests()).length !== 1) await sleep(100);
    expect(await memoryOf(running.guest)).toEqual(running.memory);
    expect(await running.guest.read()).toBe(`what was written before night ${night}`);
  }
  expect(await checkpoint('verify', 'ada')).toMatchObject({ depth: 'contents', findings: [] });
});

test('what a killed save has left beside a checkpoint is found and removed', async () => {
  await bed.sleeps(running);
  while ((await manifests()).length !== 2) await sleep(100); // the newest, and the last that is known to wake
  const { checkpointId } = await running.desk.view();
  const store = await openBlobStore(storageUrl);
  await putBlob(store, `desktops/ada/checkpoints/${checkpointId}/pack-09999`, Buffer.from('left by a killed save'));
  await store.close();
  expect(await checkpoint('gc', '--dry-run')).toMatchObject({ dryRun: true, storage: { removedObjects: 1 } });
  expect(await checkpoint('gc', 'ada')).toMatchObject({ storage: { removedObjects: 1 } });
  expect(await checkpoint('gc')).toMatchObject({ storage: { removedObjects: 0, unknownObjects: 0, failures: [] } });
  expect(await checkpoint('verify', 'ada')).toMatchObject({ findings: [] });
});

test('deleted, nothing of it is left in the bucket', async () => {
  await dormouse.api.deleteDesktop('ada');
  while ((await objects()).length > 0) await sleep(50);
  expect(await objects()).toEqual([]);
});
