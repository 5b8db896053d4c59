import { randomBytes } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@dormouse/config';
import { isDormouseError } from '@dormouse/errors';
import { createLogger } from '@dormouse/observability';
import { LiveKeys } from '../../apps/api';
import { ApiFixture } from './api-fixture';
import { eventually } from './jobs-fixture';

jest.setTimeout(60_000);

const makeSecret = () => `whsec_${randomBytes(32).toString('base64')}`;
const [all, allNext, own, ownNext] = [makeSecret(), makeSecret(), makeSecret(), makeSecret()];

let directory: string;
let file: string;
let fixture: ApiFixture;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-secrets-'));
  file = join(directory, 'secrets');
  await writeFile(file, `# of all\n${all}\n\n/eu=${own}\n`);
  fixture = await ApiFixture.start({ WEBHOOK_SECRETS_FILE: file, WEBHOOK_SECRETS: makeSecret() });
  await fixture.running('desk-1');
});
afterAll(async () => {
  await fixture.stop();
  await rm(directory, { recursive: true });
});

let connection = 0;
/** What comes of an event that is signed with this secret: its outcome, or the code of the refusal. */
async function outcomeOf(secret: string, source = 'test-broker'): Promise<string> {
  const data = { desktopId: 'desk-1', connectionId: `c${(connection += 1)}` };
  try {
    return (await fixture.sendEvent({ type: 'vdc.session.connected', source, data }, secret)).outcome;
  } catch (error) {
    if (isDormouseError(error)) return error.code;
    throw error;
  }
}

/** As an editor, and as Kubernetes, puts a file into the place of another. */
async function replaceBy(...lines: readonly string[]): Promise<void> {
  await writeFile(`${file}.new`, `${lines.join('\n')}\n`);
  await rename(`${file}.new`, file);
}

const taken = (secret: string, source?: string) => async () => (await outcomeOf(secret, source)) === 'applied';

test('the secrets of the file count, and those of the environment do not', async () => {
  expect(await outcomeOf(all)).toBe('applied');
  expect(await outcomeOf(own, '/eu')).toBe('applied');
  expect(await outcomeOf(all, '/eu')).toBe('SIGNATURE_INVALID');
  expect(await outcomeOf(allNext)).toBe('SIGNATURE_INVALID');
});

test('a secret is replaced while events come, and none of them is refused', async () => {
  let refused = 0;
  let sent = 0;
  let signWith = { all, own };
  let stop = false;
  const sending = (async () => {
    while (!stop) {
      const outcomes = [await outcomeOf(signWith.all), await outcomeOf(signWith.own, '/eu')];
      refused += outcomes.filter((outcome) => outcome !== 'applied').length;
      sent += outcomes.length;
    }
  })();
  await replaceBy(all, allNext, `/eu=${own}`, `/eu=${ownNext}`);
  await eventually(taken(allNext));
  await eventually(taken(ownNext, '/eu'));
  signWith = { all: allNext, own: ownNext };
  await eventually(() => sent > 10);
  const before = sent;
  await eventually(() => sent > before + 4); // what was signed before the change has arrived
  await replaceBy(allNext, `/eu=${ownNext}`);
  await eventually(async () => (await outcomeOf(all)) === 'SIGNATURE_INVALID');
  expect(await outcomeOf(own, '/eu')).toBe('SIGNATURE_INVALID');
  stop = true;
  await sending;
  expect(sent).toBeGreaterThan(10);
  expect(refused).toBe(0);
});

test.each<[string, () => Promise<void>]>([
  ['that cannot be read', () => replaceBy('whsec_tooshort')],
  ['that is gone', () => rm(file)],
  ['that is empty', () => writeFile(file, '')],
  ['that ends in its middle', () => replaceBy(`/eu=${ownNext}`)],
  ['that has lost a broker', () => replaceBy(allNext)],
])('a file %s leaves the secrets as they were, until one comes that can be', async (_, spoil) => {
  await spoil();
  await new Promise((resolve) => setTimeout(resolve, 3_500));
  expect(await outcomeOf(allNext)).toBe('applied');
  expect(await outcomeOf(ownNext, '/eu')).toBe('applied');
  expect(await outcomeOf(allNext, '/eu')).toBe('SIGNATURE_INVALID');
  await replaceBy(all, allNext, `/eu=${ownNext}`);
  await eventually(taken(all));
});

test.each<[string, () => Promise<void>]>([
  ['says so', () => replaceBy(all, '/eu=none')],
  [
    'is written twice as it is',
    async () => {
      await replaceBy(all);
      await new Promise((resolve) => setTimeout(resolve, 3_500));
      expect(await outcomeOf(ownNext, '/eu')).toBe('applied');
      await replaceBy(all);
    },
  ],
])('a broker loses its last secret when the file %s', async (_, takeAway) => {
  await replaceBy(all, `/eu=${ownNext}`);
  await eventually(taken(ownNext, '/eu'));
  await takeAway();
  await eventually(async () => (await outcomeOf(ownNext, '/eu')) === 'SIGNATURE_INVALID');
});

test('an api does not start with a file that it cannot read, and says which line is wrong, not what it says', async () => {
  await replaceBy(all, 'whsec_mistyped');
  const config = loadConfig({ DATA_DIR: directory, WEBHOOK_SECRETS_FILE: file });
  const start = LiveKeys.open(config, createLogger('api', config));
  await expect(start).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('line 2') });
  await expect(start).rejects.not.toMatchObject({ message: expect.stringContaining('mistyped') });
});
