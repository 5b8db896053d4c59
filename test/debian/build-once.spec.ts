import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildOnce } from './build-once';

let cache: string;

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'dormouse-cache-'));
});
afterEach(() => rm(cache, { recursive: true, force: true }));

const content = (): Promise<string> => readFile(join(cache, 'thing', 'file'), 'utf8');

test('what was built is there under its name, and is not built again', async () => {
  await buildOnce(join(cache, 'thing'), (building) => writeFile(join(building, 'file'), 'first'));
  await buildOnce(join(cache, 'thing'), (building) => writeFile(join(building, 'file'), 'second'));
  expect(await content()).toBe('first');
  expect(await readdir(cache)).toEqual(['thing']);
});

test('of two who build at once the first wins, and nothing is left of the other', async () => {
  const build = async (building: string, text: string, takesMs: number): Promise<void> => {
    await sleep(takesMs);
    await writeFile(join(building, 'file'), text);
  };
  await Promise.all([
    buildOnce(join(cache, 'thing'), (building) => build(building, 'slow', 200)),
    buildOnce(join(cache, 'thing'), (building) => build(building, 'quick', 20)),
  ]);
  expect(await content()).toBe('quick');
  expect(await readdir(cache)).toEqual(['thing']);
});

test('a build that fails leaves nothing, and the next one begins anew', async () => {
  const failing = buildOnce(join(cache, 'thing'), async (building) => {
    await writeFile(join(building, 'file'), 'half');
    throw new Error('the mirror is away');
  });
  await expect(failing).rejects.toThrow('the mirror is away');
  expect(await readdir(cache)).toEqual([]);
  await buildOnce(join(cache, 'thing'), (building) => writeFile(join(building, 'file'), 'whole'));
  expect(await content()).toBe('whole');
});

test('what a killed build has left is no hindrance, and is removed once nobody can be at it any more', async () => {
  const twoHoursAgo = new Date(Date.now() - 2 * 3_600_000);
  for (const name of ['building-old', 'building-new']) await mkdir(join(cache, name));
  await utimes(join(cache, 'building-old'), twoHoursAgo, twoHoursAgo);
  await buildOnce(join(cache, 'thing'), (building) => writeFile(join(building, 'file'), 'whole'));
  expect((await readdir(cache)).sort()).toEqual(['building-new', 'thing']);
});
