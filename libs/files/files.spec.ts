import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDirectory, readIfThere, writeOnce, writeWhole } from '@dormouse/files';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dormouse-files-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('a file', () => {
  test('is replaced as a whole, is its owner’s alone, and leaves nothing beside it', async () => {
    const file = join(root, 'a');
    await writeFile(file, 'what was there, and was longer');
    await writeWhole(file, 'new');
    expect(await readFile(file, 'utf8')).toBe('new');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(root)).toEqual(['a']);
  });

  test('that is to be written once stays the first one’s', async () => {
    const file = join(root, 'a');
    const ours = await Promise.all(['one', 'two', 'three'].map((text) => writeOnce(file, text)));
    expect(ours.filter(Boolean)).toHaveLength(1);
    expect(await readIfThere(file)).toBe(['one', 'two', 'three'][ours.indexOf(true)]);
    expect(await readdir(root)).toEqual(['a']);
  });

  test('that cannot be placed leaves nothing', async () => {
    await makeDirectory(join(root, 'a', 'b'));
    await expect(writeWhole(join(root, 'a'), 'text')).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(root)).toEqual(['a']);
    expect(await readIfThere(join(root, 'none'))).toBeNull();
  });
});

describe('a directory', () => {
  test('is made with those above it, by several at once', async () => {
    const path = join(root, 'a', 'b', 'c');
    await Promise.all([makeDirectory(path), makeDirectory(path), makeDirectory(path)]);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  test.each(['/proc/dormouse/data', '/proc/self/fd/dormouse/data', '/sys/dormouse/data', '/dev/null/data'])(
    '%s cannot be made, and that is said at once',
    async (path) => {
      await expect(makeDirectory(path)).rejects.toMatchObject({ code: expect.stringMatching(/^E/) });
    },
  );
});
