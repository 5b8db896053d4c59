import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lostSecrets, readSecretsFile } from './secrets-file';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-secrets-'));
});
afterEach(() => rm(directory, { recursive: true }));

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

async function read(...lines: string[]) {
  const file = join(directory, 'secrets');
  await writeFile(file, lines.join('\n'));
  return readSecretsFile(file);
}

test('a file as people write them is read, a byte order mark and Windows line ends among it', async () => {
  expect(await read(`\uFEFF# of all\r`, `${secret}\r`, '', ` /eu=${secret} `, `bu\u0308ro 1=${secret}`)).toEqual({
    webhookSecrets: [secret],
    brokerSecrets: [
      { source: '/eu', secret },
      { source: 'büro 1', secret },
    ],
    without: [],
  });
});

test.each([[''], ['# nothing'], ['none'], ['/eu=none']])('a file with no secret, %j, is refused', async (line) => {
  await expect(read(line)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

test('who has lost the last secret is told, but not who was said to have none, nor who got another one', async () => {
  const other = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
  const before = await read(secret, `/eu=${secret}`, `/us=${secret}`);
  expect(lostSecrets(before, await read(other, `/eu=${other}`, `/us=${secret}`))).toEqual([]);
  expect(lostSecrets(before, await read(secret, `/us=${secret}`))).toEqual(['/eu']);
  expect(lostSecrets(before, await read(`/us=${secret}`))).toEqual(['', '/eu']);
  expect(lostSecrets(before, await read('none', '/eu=none', `/us=${secret}`))).toEqual([]);
});
