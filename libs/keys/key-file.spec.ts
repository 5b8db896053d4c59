import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KeyFile } from './key-file';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-keys-'));
  path = join(directory, 'keys', 'master.json');
});
afterEach(() => rm(directory, { recursive: true }));

const key = Buffer.alloc(32, 0x17);

test('a key comes back for the purpose it was wrapped for, also from the file opened again', async () => {
  const wrapped = await (await KeyFile.open(path)).wrap(key, 'desktop/ada');
  expect(wrapped.wrapped.includes(key)).toBe(false);
  expect(await (await KeyFile.open(path)).unwrap(wrapped, 'desktop/ada')).toEqual(key);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('for another purpose, with any bit changed, cut, or under an unknown key it is refused', async () => {
  const file = await KeyFile.open(path);
  const wrapped = await file.wrap(key, 'desktop/ada');
  const refused = { code: 'KEY_REJECTED', details: { purpose: expect.any(String) } };
  await expect(file.unwrap(wrapped, 'desktop/bob')).rejects.toMatchObject(refused);
  for (let at = 0; at < wrapped.wrapped.length; at++) {
    const flipped = Buffer.from(wrapped.wrapped);
    flipped[at]! ^= 1;
    await expect(file.unwrap({ ...wrapped, wrapped: flipped }, 'desktop/ada')).rejects.toMatchObject(refused);
    const cut = { ...wrapped, wrapped: wrapped.wrapped.subarray(0, at) };
    await expect(file.unwrap(cut, 'desktop/ada')).rejects.toMatchObject(refused);
  }
  await expect(file.unwrap({ ...wrapped, kekId: 'none' }, 'desktop/ada')).rejects.toMatchObject(refused);
});

test('after a rotation the old keys still unwrap, the new one wraps, and who has the file open finds it', async () => {
  const other = await KeyFile.open(path);
  const file = await KeyFile.open(path);
  const before = await file.wrap(key, 'content');
  await file.rotate();
  const after = await file.wrap(key, 'content');
  expect(after.kekId).not.toBe(before.kekId);
  expect(await file.unwrap(before, 'content')).toEqual(key);
  expect(await other.unwrap(after, 'content')).toEqual(key);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(directory, 'keys'))).toEqual(['master.json']);
});

test('processes that start at once agree on one file', async () => {
  const files = await Promise.all(Array.from({ length: 12 }, () => KeyFile.open(path)));
  const [first] = files;
  const wrapped = await first!.wrap(key, 'content');
  for (const file of files) expect(await file.unwrap(wrapped, 'content')).toEqual(key);
});

test.each([
  ['others may read', (file: string) => chmod(file, 0o640)],
  ['is no JSON', (file: string) => writeFile(file, 'x')],
  ['has no keys', (file: string) => writeFile(file, '{"keys":[]}')],
  ['has a key of another length', (file: string) => writeFile(file, '{"keys":[{"id":"a","key":"AAAA"}]}')],
])('a file that %s is refused, and left as it is', async (_, change) => {
  await KeyFile.open(path);
  await change(path);
  const before = await readFile(path, 'utf8');
  await expect(KeyFile.open(path)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE', details: { path } });
  expect(await readFile(path, 'utf8')).toBe(before);
});

test('a file that cannot be reached is told apart from one that is not there', async () => {
  await KeyFile.open(path);
  await promisify(execFile)('ln', ['-sfn', join(directory, 'loop'), join(directory, 'loop')]);
  await expect(KeyFile.open(join(directory, 'loop'))).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' });
});
