import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimDataDirectory, dataPaths, loadConfig } from '@dormouse/config';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'dormouse-claim-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

test('a data directory is the first host’s, and the second is told what to do', async () => {
  const first = await claimDataDirectory(dataDir, 'host-1');
  expect(await claimDataDirectory(dataDir, 'host-1')).toEqual(first);
  await expect(claimDataDirectory(dataDir, 'host-2')).rejects.toMatchObject({
    code: 'DATA_DIRECTORY_CLAIMED',
    message: expect.stringMatching(/Set HOST_ID=host-1, or give host-2 a DATA_DIR of its own/),
  });
});

test('workers that start together agree on it', async () => {
  const claims = await Promise.all(['a', 'a', 'a', 'a'].map((hostId) => claimDataDirectory(dataDir, hostId)));
  expect(new Set(claims.map(({ directoryId }) => directoryId)).size).toBe(1);
});

test.each(['', '{"hostId":"ho', '\0\0\0', '[]'])('a claim that says %j keeps nobody from starting', async (content) => {
  await claimDataDirectory(dataDir, 'host-1');
  await writeFile(dataPaths(dataDir).claimFile, content);
  const repaired = await claimDataDirectory(dataDir, 'host-1');
  expect(await claimDataDirectory(dataDir, 'host-1')).toEqual(repaired);
});

test('a machine that was renamed stays the host that its data directory says', async () => {
  await claimDataDirectory(dataDir, 'as-it-was');
  expect(loadConfig({ DATA_DIR: dataDir }).hostId).toBe('as-it-was');
  expect(loadConfig({ DATA_DIR: dataDir, HOST_ID: 'said' }).hostId).toBe('said');
});
