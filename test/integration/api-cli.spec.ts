import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiFixture, launchSpec } from './api-fixture';

jest.setTimeout(60_000);

let fixture: ApiFixture;

beforeAll(async () => {
  fixture = await ApiFixture.start();
  await fixture.running('desk-1');
});
afterAll(() => fixture.stop());

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as a shell runs it: it finds the api and its key by the data directory. */
function dormouse(args: readonly string[], environment: Record<string, string> = {}): Promise<Ran> {
  const main = join(__dirname, '../../dist/apps/cli/main.js');
  const env = { PATH: process.env['PATH'], DATA_DIR: fixture.directory, ...environment };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

const lines = ({ stdout }: Ran) => stdout.trimEnd().split('\n');
const json = ({ stdout }: Ran) => JSON.parse(stdout) as unknown;

test('desktops are listed as a table for people and as JSON for scripts', async () => {
  const [head, ...rows] = lines(await dormouse(['desktop', 'list']));
  expect(head).toMatch(/^DESKTOP +STATE +FOR +USER +POOL +HOST +UNDER WAY$/);
  expect(rows).toEqual([expect.stringMatching(/^desk-1 +running +\d+ s +empty +default +host-1 +-$/)]);
  expect(json(await dormouse(['--json', 'desktop', 'list']))).toMatchObject([{ id: 'desk-1', state: 'running' }]);
});

test('--json is understood wherever it stands', async () => {
  expect(json(await dormouse(['desktop', 'show', 'desk-1', '--json']))).toMatchObject({ id: 'desk-1' });
});

test('an event is signed and sent, and its answer shown', async () => {
  const shown = await dormouse(['event', 'send', 'connected', 'desk-1', '--connection', 'c-9']);
  expect(lines(shown)).toEqual(['applied; desk-1 is running']);
  expect((await fixture.client.desktop('desk-1')).presence.connections).toEqual(['c-9']);
  await dormouse(['event', 'send', 'vdc.session.disconnected', 'desk-1', '--connection', 'c-9', '--reason', 'user']);
  expect((await fixture.client.desktop('desk-1')).presence.connections).toEqual([]);
});

test('a desktop is registered from a file, and saved with a reason that is audited', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'dormouse-cli-'));
  const file = join(directory, 'spec.json');
  await writeFile(file, JSON.stringify(launchSpec));
  const examined = fixture.work('desk-2', { status: 'succeeded', desktop: { fingerprint: {} } });
  expect(lines(await dormouse(['desktop', 'put', 'desk-2', file]))).toContainEqual(
    expect.stringMatching(/^state +off/),
  );
  await examined;
  await dormouse(['desktop', 'start', 'desk-2', '--reason', 'morning']);
  expect((await fixture.audit()).at(-1)).toMatchObject({ action: 'desktop.boot', target: 'desk-2', reason: 'morning' });
  await rm(directory, { recursive: true });
});

test('a heartbeat is sent in the name of a broker, which is retired when it is gone', async () => {
  const heartbeat = ['event', 'send', 'vdc.broker.heartbeat', '-'];
  expect(await dormouse(heartbeat)).toMatchObject({ code: 1, stderr: expect.stringContaining('--source') });
  expect(lines(await dormouse(['broker', 'list']))).toEqual(['no broker sends heartbeats']);
  await dormouse([...heartbeat, '--source', '/eu west/1']);
  expect(await dormouse(['broker', 'list'])).toMatchObject({ stdout: expect.stringContaining('/eu west/1') });
  const retired = await dormouse(['broker', 'retire', '/eu west/1', '--reason', 'replaced']);
  expect(lines(retired)).toEqual(['/eu west/1 is retired; 0 desktops had heard of it']);
  expect(json(await dormouse(['broker', 'list', '--json']))).toEqual([]);
});

test('whose a desktop is can be shown, and said', async () => {
  await fixture.running('desk-3');
  await dormouse(['event', 'send', 'connected', 'desk-3']);
  expect(json(await dormouse(['desktop', 'show', 'desk-3', '--json']))).toMatchObject({ broker: null });
  await dormouse(['event', 'send', 'assigned', 'desk-3', '--source', '/eu']);
  expect(lines(await dormouse(['desktop', 'show', 'desk-3']))).toContainEqual(expect.stringMatching(/^broker +\/eu$/));
  const byHand = await dormouse(['event', 'send', 'idle', 'desk-3']);
  expect(byHand).toMatchObject({ code: 1, stderr: expect.stringContaining('--source /eu') });
  const given = await dormouse(['desktop', 'broker', 'desk-3', '/us', '--reason', 'moved']);
  expect(lines(given)).toContainEqual(expect.stringMatching(/^broker +\/us$/));
  expect(json(await dormouse(['desktop', 'broker', 'desk-3', '--json']))).toMatchObject({ broker: null });
});

test('who reads no further ends it quietly', async () => {
  const main = join(__dirname, '../../dist/apps/cli/main.js');
  const line = `set -o pipefail; '${process.execPath}' '${main}' desktop list | true`;
  const env = { PATH: process.env['PATH'], DATA_DIR: fixture.directory };
  const { code, stderr } = await new Promise<Ran>((resolve) => {
    execFile('bash', ['--norc', '-c', line], { env }, (error, stdout, errors) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr: errors });
    });
  });
  expect({ code, stderr }).toEqual({ code: 141, stderr: '' });
});

test('times and files are read as people write them, and nothing else for a time', async () => {
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString().replace('T', ' ');
  const held = await dormouse(['desktop', 'hold', 'desk-1', inAnHour, '--json']);
  expect(json(held)).toMatchObject({ hold: { until: expect.stringMatching(/Z$/) } });
  await dormouse(['desktop', 'unhold', 'desk-1']);
  for (const until of ['friday 2027', '2030-W05-4', '2030', 'tomorrow']) {
    expect(await dormouse(['desktop', 'hold', 'desk-1', until])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is no time'),
    });
  }
  const directory = await mkdtemp(join(tmpdir(), 'dormouse-cli-'));
  const file = join(directory, 'policy.json');
  await writeFile(file, `\uFEFF${JSON.stringify({ graceMs: 60_000, keepCheckpoints: 2 })}`);
  expect(await dormouse(['pool', 'put', 'marked', file])).toMatchObject({ code: 0 });
  await rm(directory, { recursive: true });
});

test('pools and hosts are shown', async () => {
  expect((await dormouse(['pool', 'show', 'default'])).stdout).toMatch(/graceMs +60000/);
  await fixture.announceHost();
  expect((await dormouse(['host', 'list'])).stdout).toMatch(/host-1 +yes/);
});

test('a key is made, printed once, lets in, is listed, and is revoked', async () => {
  const made = await dormouse(['keys', 'create', 'desk', '--scope', 'operator', '--pool', 'default', '--expires', '7']);
  const key = made.stdout.trim();
  expect(key).toMatch(/^dm_[\w-]{43}$/);
  const { code } = await dormouse(['desktop', 'list'], { DORMOUSE_KEY: key });
  expect(code).toBe(0);
  const [head, row] = lines(await dormouse(['keys', 'list']));
  expect(head).toMatch(/^KEY +SCOPE +POOLS +STATE +EXPIRES +LAST USED +MADE BY$/);
  expect(row).toMatch(/^desk +operator +default +valid +\d{4}-\d\d-\d\d +\d s ago +key:admin$/);
  expect(lines(await dormouse(['keys', 'revoke', 'desk', '--reason', 'left']))).toEqual([
    'desk lets nobody in any more',
  ]);
  expect(await dormouse(['desktop', 'list'], { DORMOUSE_KEY: key })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/the key desk was revoked .*\(UNAUTHENTICATED\)/),
  });
});

test('old lines of the audit log are exported as lines of JSON, and removed for a reason', async () => {
  const many = 3_000;
  await fixture.dataSource.query(
    `INSERT INTO audit_log (at, actor, action, target, outcome)
     SELECT now() - interval '60 days' + n * interval '1 second', 'key:old', 'desktop.save', 'é' || n, 'applied'
     FROM generate_series(1, $1::int) n`,
    [many],
  );
  const before = new Date(Date.now() - 40 * 86_400_000).toISOString();
  const targets = lines(await dormouse(['audit', 'export', '--before', before])).map(
    (line) => (JSON.parse(line) as { target: string }).target,
  );
  expect(targets).toEqual(Array.from({ length: many }, (_, n) => `é${n + 1}`));
  expect(await dormouse(['audit', 'prune', '--before', before])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('--reason'),
  });
  const reason = ['--reason', 'archived'];
  expect(await dormouse(['audit', 'prune', '--before', new Date().toISOString(), ...reason])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('30 days'),
  });
  expect(lines(await dormouse(['audit', 'prune', '--before', before, ...reason]))).toEqual([
    `${many} lines of the audit log were removed`,
  ]);
  expect(await dormouse(['audit', 'export', '--before', before])).toMatchObject({ code: 0, stdout: '' });
  expect(lines(await dormouse(['audit', '--action', 'audit.prune', '--limit', '1']))[1]).toMatch(/archived$/);
});

test('the audit log is shown, newest first, as far as was asked for', async () => {
  await dormouse(['desktop', 'save', 'none', '--reason', 'a try']);
  const [head, row, ...more] = lines(await dormouse(['audit', '--limit', '1', '--actor', 'key:admin']));
  expect(head).toMatch(/^AT +WHO +WHAT +TO +CAME OF IT +WHY$/);
  expect(row).toMatch(/^\d{4}-\d\d-\d\d \S+ +key:admin +desktop.save +none +DESKTOP_UNKNOWN +a try$/);
  expect(more).toEqual([]);
  expect(json(await dormouse(['--json', 'audit', '--action', 'nothing']))).toEqual([]);
});

test('what the api refuses is told in one line with its code, and the exit code says so', async () => {
  expect(await dormouse(['desktop', 'show', 'none'])).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^dormouse: [^\n]+ \(DESKTOP_UNKNOWN\)\n$/),
  });
  const inJson = await dormouse(['--json', 'desktop', 'show', 'none']);
  expect(JSON.parse(inJson.stderr)).toMatchObject({ code: 'DESKTOP_UNKNOWN' });
});

test.each([
  [
    'a file that is not there',
    ['desktop', 'put', 'desk-3', '/nowhere/spec.json'],
    /\/nowhere\/spec.json cannot be read/,
  ],
  ['an event that does not exist', ['event', 'send', 'exploded', 'desk-1'], /there is no event exploded/],
])('%s is told in one line', async (_, args, line) => {
  expect(await dormouse(args)).toMatchObject({ code: 1, stderr: expect.stringMatching(line) });
});

test('without a server, it says how to start one', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'dormouse-cli-'));
  const nobody = { code: 1, stderr: expect.stringMatching(/^dormouse: [^\n]*npm start[^\n]*\n$/) };
  expect(await dormouse(['desktop', 'list'], { DATA_DIR: directory })).toMatchObject(nobody);
  expect(await dormouse(['desktop', 'list'], { DORMOUSE_URL: 'http://127.0.0.1:9' })).toMatchObject(nobody);
  await rm(directory, { recursive: true });
});

test('the key of the environment goes before the one of the data directory', async () => {
  expect(await dormouse(['desktop', 'list'], { DORMOUSE_KEY: 'dm_another-key' })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('UNAUTHENTICATED'),
  });
});
