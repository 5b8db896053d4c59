import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { RehearsedView } from '@dormouse/views';
import type { JsonObject } from '@dormouse/session';
import { openAccess } from '../../apps/cli/access';
import { buildProgram } from '../../apps/cli/program';
import { ApiFixture, problemOf } from './api-fixture';

jest.setTimeout(60_000);

const ownSecret = `whsec_${randomBytes(32).toString('base64')}`;
const environment = { BROKER_SECRETS: `/eu=${ownSecret}` };
let fixture: ApiFixture;
let directory: string;

beforeAll(async () => {
  fixture = await ApiFixture.start(environment);
  directory = await mkdtemp(join(tmpdir(), 'dormouse-replay-'));
});
afterAll(async () => {
  await fixture.stop();
  await rm(directory, { recursive: true, force: true });
});

async function run(...args: string[]): Promise<string> {
  const printed: string[] = [];
  const program = buildProgram({
    openAccess: () => openAccess({ ...environment, DATA_DIR: fixture.directory }),
    loadConfig: () => {
      throw new Error('not needed');
    },
    print: (text) => printed.push(text),
    now: () => new Date(),
  });
  await program.parseAsync(args, { from: 'user' });
  return printed.join('\n');
}

async function recorded(name: string, ...lines: (JsonObject | string)[]): Promise<string> {
  const file = join(directory, `${name}.jsonl`);
  await writeFile(file, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'));
  return file;
}

const event = (desktopId: string, number: number, type: string, changes: JsonObject = {}): JsonObject => ({
  specversion: '1.0',
  id: `${desktopId}-${number}`,
  source: '/eu',
  type: `vdc.${type}`,
  data: { desktopId, connectionId: 'c1', brokerEpoch: 'e1', sequence: number },
  ...changes,
});

const day = (desktopId: string) => [
  event(desktopId, 1, 'session.connected'),
  event(desktopId, 2, 'session.disconnected'),
  event(desktopId, 3, 'session.reconnected'),
  event(desktopId, 4, 'session.disconnected'),
];

test('a dry run says what would be decided about each, and changes nothing', async () => {
  await fixture.running('dry');
  const file = await recorded('dry', ...day('dry'), day('dry')[0]!, '', event('ghost', 1, 'session.connected'), {
    ...event('dry', 9, 'broker.heartbeat'),
    data: {},
  });
  const before = [await fixture.stored(), await fixture.client.desktop('dry')];
  const rehearsed = JSON.parse(await run('--json', 'events', 'replay', file, '--dry-run')) as RehearsedView[];
  expect(rehearsed.map(({ outcome, state }) => [outcome, state])).toEqual([
    ['applied', 'running'],
    ['applied', 'grace'],
    ['applied', 'running'],
    ['applied', 'grace'],
    ['duplicate', null],
    ['refused', null],
    ['ignored', null],
  ]);
  expect(rehearsed[3]!.graceDeadline).not.toBeNull();
  expect(await run('event', 'replay', file, '--dry-run')).toMatch(
    /dry-2 .* grace .* nobody is there: the desktop is saved/,
  );
  expect([await fixture.stored(), await fixture.client.desktop('dry')]).toEqual(before);
});

test('a replay sends what was recorded, signed for its broker, and a second one has no effect', async () => {
  await fixture.running('wet');
  const file = await recorded('wet', ...day('wet'));
  const dry = JSON.parse(await run('--json', 'events', 'replay', file, '--dry-run')) as RehearsedView[];
  const sent = JSON.parse(await run('--json', 'events', 'replay', file)) as { outcome: string }[];
  expect(sent.map(({ outcome }) => outcome)).toEqual(dry.map(({ outcome }) => outcome));
  const after = await fixture.client.desktop('wet');
  expect(after).toMatchObject({ state: 'grace', presence: { sequence: 4 } });
  const again = JSON.parse(await run('--json', 'events', 'replay', file)) as { outcome: string }[];
  expect(again.map(({ outcome }) => outcome)).toEqual(Array(4).fill('duplicate'));
  expect(await fixture.client.desktop('wet')).toEqual(after);
});

test.each([
  ['that is no JSON', '{', 'REQUEST_INVALID'],
  ['that is no event', JSON.stringify({ specversion: '1.0' }), 'EVENT_MALFORMED'],
])('a line %s is named, and nothing of the file is sent', async (_, line, code) => {
  const file = await recorded('bad', event('wet', 5, 'session.connected'), line);
  const before = await fixture.rows('inbox_events');
  await expect(run('events', 'replay', file)).rejects.toMatchObject({
    code,
    message: expect.stringContaining('line 2'),
  });
  expect(await fixture.rows('inbox_events')).toBe(before);
});

test('a file as Windows writes it is read, and an id that no header can hold is replayed once all the same', async () => {
  await fixture.running('odd');
  const odd = event('odd', 1, 'session.connected', { id: 'an id with spaces, ümlauts' });
  const file = join(directory, 'odd.jsonl');
  await writeFile(file, Buffer.from(`\uFEFF${JSON.stringify(odd)}\r\n\r\n`, 'utf16le'));
  for (const outcome of ['applied', 'duplicate']) {
    expect(JSON.parse(await run('--json', 'events', 'replay', file))).toMatchObject([{ outcome }]);
  }
});

test('an event that the api refuses is told with its line, and how many were sent before it', async () => {
  const file = await recorded('refused', '', event('odd', 2, 'session.idle'), event('ghost', 1, 'session.connected'));
  await expect(run('events', 'replay', file)).rejects.toMatchObject({
    code: 'DESKTOP_UNKNOWN',
    message: expect.stringMatching(/line 3: .*; 1 event before it had been sent/),
  });
});

test('a rehearsal names the event that cannot be read, and asks for the admin key', async () => {
  const rehearse = (events: unknown, headers = {}) =>
    fixture.fetch('/v1/events/rehearse', { method: 'POST', body: { events }, headers });
  const bad = await problemOf(await rehearse([event('dry', 1, 'session.connected'), {}]), 'EVENT_MALFORMED', 400);
  expect(bad).toMatchObject({ index: 1, field: 'specversion' });
  await problemOf(await rehearse('none'), 'REQUEST_INVALID', 400);
  await problemOf(await rehearse([], { authorization: '' }), 'UNAUTHENTICATED', 401);
});
