import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { limits } from '@dormouse/limits';
import { FileStore } from './file-store';

let root: string;
let store: FileStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dormouse-hung-'));
  store = await FileStore.open(root);
  await mkdir(join(root, 'desktops'));
  await writeFile(join(root, 'desktops', 'well'), 'all of it');
  // The kernel does not return from opening a pipe before somebody writes to it: as with a file on a server that is gone.
  execFileSync('mkfifo', [join(root, 'desktops', 'hung')]);
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance'] });
});
afterEach(async () => {
  jest.useRealTimers();
  await store.close();
  await rm(root, { recursive: true, force: true });
});

const tooLate = {
  code: 'STORAGE_FAILED',
  message: expect.stringContaining('the file system of the storage did not read, write, sync or list within 60 s'),
  details: { waitedFor: 'fileAnswer', limitMs: limits.fileAnswer.ms },
};

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

test('a file system that hangs fails what waits for it, is asked nothing else meanwhile, and serves again once it returns', async () => {
  const writer = await store.create('desktops/new');
  const reading = expect(store.read('desktops/hung')).rejects.toMatchObject(tooLate);
  expect((await store.read('desktops/well')).toString()).toBe('all of it'); // not known to hang yet
  await jest.advanceTimersByTimeAsync(limits.fileAnswer.ms);
  await reading;

  await expect(store.read('desktops/well')).rejects.toMatchObject(tooLate);
  await expect(store.stat('desktops/well')).rejects.toMatchObject(tooLate);
  await expect(all(store.list('desktops/'))).rejects.toMatchObject(tooLate);
  await expect(store.create('desktops/other')).rejects.toMatchObject(tooLate);
  await expect(store.delete('desktops/well')).rejects.toMatchObject(tooLate);
  await expect(store.availableBytes()).rejects.toMatchObject(tooLate);
  await expect(writer.write(Buffer.from('more'))).rejects.toMatchObject(tooLate);
  await writer.abort();

  await (await open(join(root, 'desktops', 'hung'), 'w')).close();
  const again = (): Promise<string | null> => store.read('desktops/well').then(String, () => null);
  let content = await again();
  for (; content === null; content = await again()) await setImmediate(); // it has yet to hear of it
  expect(content).toBe('all of it');
});

test('however many objects are listed, few of them are looked at together', async () => {
  for (let n = 0; n < 20; n++) await writeFile(join(root, 'desktops', `object-${n}`), '');
  expect(await all(store.list('desktops/object-'))).toHaveLength(20);
  expect((await store.stat('desktops/well')).bytes).toBe(9);
});
