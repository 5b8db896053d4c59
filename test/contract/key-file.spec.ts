import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { openKeyProvider } from '@dormouse/keys';

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-keyfile-'));
  path = join(directory, 'keys', 'master.json');
  await mkdir(dirname(path), { mode: 0o700 });
});
afterEach(() => rm(directory, { recursive: true }));

const key = randomBytes(32);
const open = () => openKeyProvider({ keyUrl: `file://${path}`, vaultToken: null }, () => Promise.resolve(true));
const kekIds = async () =>
  (JSON.parse(await readFile(path, 'utf8')) as { keys: { id: string }[] }).keys.map(({ id }) => id);

type Child = ChildProcessByStdio<Writable, Readable, null>;

function start(what: string): { child: Child; lines: AsyncIterator<string> } {
  const hook = join(__dirname, 'typescript.cjs');
  const program = join(__dirname, 'key-file-process.ts');
  const child = spawn(process.execPath, ['--require', hook, program, what, `file://${path}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return { child, lines: createInterface(child.stdout)[Symbol.asyncIterator]() };
}

test('is not made where there is no directory: the path may have a mistake in it', async () => {
  const mistyped = join(directory, 'kyes', 'master.json');
  await expect(
    openKeyProvider({ keyUrl: `file://${mistyped}`, vaultToken: null }, () => Promise.resolve(true)),
  ).rejects.toMatchObject({
    code: 'KEY_UNAVAILABLE',
    message: expect.stringContaining('Correct KEY_URL'),
  });
  expect(await readdir(directory)).toEqual(['keys']);
});

/** What each of several processes says when they do it at the same moment. */
async function atOnce(what: string, processes: number): Promise<string[]> {
  const all = Array.from({ length: processes }, () => start(what));
  for (const { lines } of all) expect(await lines.next()).toMatchObject({ value: 'ready' });
  for (const { child } of all) child.stdin.end();
  return Promise.all(all.map(async ({ lines }) => String((await lines.next()).value)));
}

test('is made on the first start, for its owner only, and read again afterwards', async () => {
  const wrapped = await (await open()).wrap(key, 'content');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(directory, 'keys'))).mode & 0o777).toBe(0o700);
  expect(await (await open()).unwrap(wrapped, 'content')).toEqual(key);
});

test('processes that start at once make one file and use the same key', async () => {
  const said = await atOnce('open', 4);
  expect(new Set(said)).toEqual(new Set(await kekIds()));
  expect(await readdir(join(directory, 'keys'))).toEqual(['master.json', 'master.json.lock']);
});

test('processes that add a key at once lose none', async () => {
  const before = await (await open()).currentKek();
  const said = await atOnce('add', 4);
  const ids = await kekIds();
  expect(ids).toHaveLength(5);
  expect(ids[0]).toBe(before);
  expect(ids).toEqual(expect.arrayContaining(said));
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('a process killed while it adds keys leaves a whole file with all that were in use, and no lock', async () => {
  const { child, lines } = start('add-until-killed');
  const used: string[] = [];
  for (let said = 0; said < 5; said += 1) used.push(String((await lines.next()).value));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const provider = await open();
  expect(await kekIds()).toEqual(expect.arrayContaining(used));
  await provider.addKek();
  expect(await kekIds()).toEqual(expect.arrayContaining([...used, await provider.currentKek()]));
});

test.each([0o640, 0o604, 0o622, 0o644])(
  'of mode %o is refused with what to do, also when it is opened already',
  async (mode) => {
    const provider = await open();
    await chmod(path, mode);
    for (const refusal of [open(), provider.wrap(key, 'content'), provider.addKek()]) {
      await expect(refusal).rejects.toMatchObject({
        code: 'KEY_UNAVAILABLE',
        message: expect.stringContaining(`chmod 600 ${path}`),
      });
    }
  },
);

test.each([
  ['nothing', ''],
  ['no JSON', '{"keys":['],
  ['no keys', '{"keys":[]}'],
  ['another thing', '[]'],
  ['a key that is too short', JSON.stringify({ keys: [{ id: 'a', createdAt: '2030-01-01', key: 'AAAA' }] })],
])('that holds %s is refused, and stays as it is', async (_, content) => {
  await open();
  await writeFile(path, content);
  const refusal = open();
  await expect(refusal).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE', message: expect.stringContaining(path) });
  expect(await readFile(path, 'utf8')).toBe(content);
});

test('in a place where none can be is told apart from one that is not there yet', async () => {
  await rm(join(directory, 'keys'), { recursive: true });
  await writeFile(join(directory, 'keys'), 'a file');
  const refusal = open();
  await expect(refusal).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE', message: expect.stringContaining(path) });
});

test('that disappears while it is in use is told, and not made anew', async () => {
  const provider = await open();
  await rm(path);
  await expect(provider.wrap(key, 'content')).rejects.toMatchObject({
    code: 'KEY_UNAVAILABLE',
    message: expect.stringMatching(/gone/),
  });
  expect(await readdir(join(directory, 'keys'))).toEqual(['master.json.lock']);
});

test('another file in its place does not unwrap, and is not taken for damage', async () => {
  const provider = await open();
  const wrapped = await provider.wrap(key, 'content');
  await copyFile(path, join(directory, 'copy'));
  await rm(path);
  await open();
  const refusal = provider.unwrap(wrapped, 'content');
  await expect(refusal).rejects.toMatchObject({
    code: 'KEY_REJECTED',
    message: expect.stringContaining(`does not hold the key-encryption key ${wrapped.kekId}`),
  });
  await copyFile(join(directory, 'copy'), path);
  expect(await provider.unwrap(wrapped, 'content')).toEqual(key);
});
