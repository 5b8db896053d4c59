import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rename, rm, rmdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBlobStore, openBlobStoreAgain, putBlob, type BlobStore } from '@dormouse/storage';

jest.setTimeout(60_000);

const typescript = ['--require', join(__dirname, 'typescript.cjs')];
const writerProgram = [...typescript, join(__dirname, 'file-store-writer.ts')];

let root: string;
const openStores: BlobStore[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dormouse-files-'));
});
afterEach(async () => {
  await Promise.all(openStores.splice(0).map((store) => store.close()));
  await rm(root, { recursive: true, force: true });
});

async function openStore(): Promise<BlobStore> {
  const store = await openBlobStore(`file://${root}/store`);
  openStores.push(store);
  return store;
}

test('an empty object has no first bytes', async () => {
  const store = await openStore();
  await putBlob(store, 'nothing', Buffer.alloc(0));
  expect(await store.readStart('nothing', 100)).toEqual(Buffer.alloc(0));
});

const incoming = () => readdir(join(root, 'store/.incoming'));

test('a writer killed with -9 leaves nothing to be seen, and the next writer clears what it left', async () => {
  const child = spawn(process.execPath, [...writerProgram, 'until-killed', join(root, 'store')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const store = await openStore();
  await putBlob(store, 'while-it-lived', Buffer.from('1'));
  expect(await incoming()).toHaveLength(1);

  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await incoming()).toHaveLength(1);
  await expect(store.read('desk/pack')).rejects.toMatchObject({ code: 'STORAGE_OBJECT_MISSING' });

  await putBlob(store, 'desk/pack', Buffer.from('2'));
  expect(await incoming()).toEqual([]);
  expect((await store.read('desk/pack')).toString()).toBe('2');
});

test('what another host or boot left behind is cleared by a listing once nobody has touched it for three days', async () => {
  const store = await openStore();
  const writer = await store.create('being-written');
  const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000);
  for (const [name, hours] of [
    ['other-boot.1.1.old', 73],
    ['other-boot.1.1.recent', 71],
  ] as const) {
    const path = join(root, 'store/.incoming', name);
    await writeFile(path, 'part of an object');
    await utimes(path, hoursAgo(hours), hoursAgo(hours));
  }
  for await (const { key } of store.list('')) expect(key).toBe('never');
  expect((await incoming()).filter((name) => name.startsWith('other'))).toEqual(['other-boot.1.1.recent']);
  await writer.commit();
});

test('of two writers of one key the first to commit has it, and the second leaves nothing behind', async () => {
  const store = await openStore();
  const [first, second] = [await store.create('key'), await store.create('key')];
  await first.write(Buffer.from('first'));
  await second.write(Buffer.from('second'));
  await first.commit();
  await expect(second.commit()).rejects.toMatchObject({ code: 'STORAGE_FAILED', details: { key: 'key' } });
  await second.abort();
  expect((await store.read('key')).toString()).toBe('first');
  expect(await incoming()).toEqual([]);
});

test('files are for their owner alone', async () => {
  const store = await openStore();
  await putBlob(store, 'desk/pack', Buffer.from('secret'));
  const modeOf = async (path: string) => (await stat(join(root, path))).mode & 0o777;
  expect(await modeOf('store')).toBe(0o700);
  expect(await modeOf('store/desk')).toBe(0o700);
  expect(await modeOf('store/desk/pack')).toBe(0o600);
});

test('folders go with their last object', async () => {
  const store = await openStore();
  await putBlob(store, 'desk/a/b/1', Buffer.from('1'));
  await putBlob(store, 'desk/2', Buffer.from('2'));
  await store.delete('desk/a/b/1');
  expect(await readdir(join(root, 'store/desk'))).toEqual(['2']);
  await store.delete('desk/2');
  expect(await readdir(join(root, 'store'))).toEqual(['.incoming']);
});

test('writing and deleting in one folder at the same time loses no object', async () => {
  const store = await openStore();
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      await putBlob(store, `desk/${index % 2}/${index}`, Buffer.from('x'));
      if (index % 4 !== 0) await store.delete(`desk/${index % 2}/${index}`);
    }),
  );
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  expect(keys).toHaveLength(10);
});

test('what is not an object is not listed', async () => {
  const store = await openStore();
  await putBlob(store, 'desk/pack', Buffer.from('1'));
  await mkdir(join(root, 'store/lost+found'));
  await writeFile(join(root, 'store/.DS_Store'), '');
  await symlink('/nowhere', join(root, 'store/dangling'));
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  expect(keys).toEqual(['desk/pack']);
});

test('a file cut short on the disk is an error, not a short answer', async () => {
  const store = await openStore();
  await putBlob(store, 'pack', Buffer.alloc(10_000));
  await store.read('pack', { offset: 0, length: 10_000 });
  await writeFile(join(root, 'store/pack'), Buffer.alloc(5_000));
  await expect(store.read('pack', { offset: 4_000, length: 2_000 })).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
});

test('reading from more packs than are kept open leaves none open after close', async () => {
  const store = await openStore();
  const keys = Array.from({ length: 40 }, (_, index) => `pack-${index}`);
  await Promise.all(keys.map((key, index) => putBlob(store, key, Buffer.alloc(100, index))));
  const before = (await readdir('/proc/self/fd')).length;
  for (let round = 0; round < 5; round++) {
    const read = await Promise.all(keys.map((key) => store.read(key, { offset: 10, length: 5 })));
    expect(read.map((content) => content[0])).toEqual(keys.map((_, index) => index));
  }
  expect((await readdir('/proc/self/fd')).length - before).toBeLessThanOrEqual(16);
  await store.close();
  expect((await readdir('/proc/self/fd')).length).toBe(before);
});

test('a directory that cannot be is refused when the store is opened', async () => {
  await writeFile(join(root, 'file'), '');
  await expect(openBlobStore(`file://${root}/file/store`)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
});

test('one that was there before is not made anew where its directory is away, or empty since it is not mounted', async () => {
  const away = { code: 'STORAGE_FAILED', message: expect.stringContaining('is not in') };
  await expect(openBlobStoreAgain(`file://${root}/away`)).rejects.toMatchObject(away);
  await mkdir(join(root, 'empty'));
  await expect(openBlobStoreAgain(`file://${root}/empty`)).rejects.toMatchObject(away);
  expect((await readdir(root)).filter((name) => name === 'away')).toEqual([]);
  expect(await readdir(join(root, 'empty'))).toEqual([]);
  await (await openBlobStore(`file://${root}/store`)).close();
  const again = await openBlobStoreAgain(`file://${root}/store`);
  await again.close();
});

test('a store of files does without the AWS SDK', () => {
  const script = `require('@dormouse/storage').openBlobStore('file://${root}/store').then(() =>
    console.log(Object.keys(require.cache).filter((file) => file.includes('@aws-sdk')).length))`;
  const program = script.replace('@dormouse/storage', join(__dirname, '../../libs/storage/index.ts'));
  expect(execFileSync(process.execPath, [...typescript, '--eval', program], { encoding: 'utf8' })).toBe('0\n');
});

/** A mount namespace of one's own in which a small file system can be mounted; null where none is to be had. */
function smallFileSystem(): string[] | null {
  const mount = 'mkdir -p "$1" && mount -t tmpfs -o size=8m tmpfs "$1"';
  for (const namespace of [['--mount'], ['--user', '--map-root-user', '--mount']]) {
    const probe = join(tmpdir(), `dormouse-mount-${process.pid}`);
    const { status } = spawnSync('unshare', [...namespace, 'sh', '-c', mount, 'sh', probe]);
    spawnSync('rmdir', [probe]);
    if (status === 0) return ['unshare', ...namespace, 'sh', '-c', `${mount} && shift && exec "$@"`, 'sh'];
  }
  return null;
}

const inSmallFileSystem = smallFileSystem();

(inSmallFileSystem === null ? test.skip : test)(
  `a full file system is STORAGE_FULL, and giving up frees it${inSmallFileSystem === null ? ' (skipped: this user can mount nothing)' : ''}`,
  () => {
    const store = join(root, 'small');
    const [program, ...args] = [...inSmallFileSystem!, store, process.execPath, ...writerProgram, 'until-full', store];
    const seen = JSON.parse(execFileSync(program, args, { encoding: 'utf8' })) as Record<string, unknown>;
    expect(seen).toMatchObject({
      code: 'STORAGE_FULL',
      keys: ['desk/previous'],
      previous: 'whole',
      availableWhenFull: 0,
    });
    expect(seen['availableAfter']).toBe(seen['availableBefore']);
  },
);

test('of a directory that is gone, or in whose place there is an empty one, no object is missing: the store is away', async () => {
  const store = await openStore();
  await putBlob(store, 'desk/pack', Buffer.from('1'));
  const away = { code: 'STORAGE_FAILED', details: { root: join(root, 'store') } };
  await rename(join(root, 'store'), join(root, 'elsewhere'));
  await expect(store.read('desk/pack')).rejects.toMatchObject(away);
  await mkdir(join(root, 'store'));
  await expect(store.read('desk/pack')).rejects.toMatchObject(away);
  await expect(store.stat('desk/pack')).rejects.toMatchObject(away);

  await rmdir(join(root, 'store'));
  await rename(join(root, 'elsewhere'), join(root, 'store'));
  expect((await store.read('desk/pack')).toString()).toBe('1');
  await expect(store.read('desk/other')).rejects.toMatchObject({ code: 'STORAGE_OBJECT_MISSING' });
});
