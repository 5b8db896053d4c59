import { randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { ApiFixture, problemOf } from './api-fixture';

jest.setTimeout(60_000);

const secret = `whsec_${randomBytes(32).toString('base64')}`;
const nextSecret = `whsec_${randomBytes(32).toString('base64')}`;
let fixture: ApiFixture;

const ownSecret = `whsec_${randomBytes(32).toString('base64')}`;
const nextOwnSecret = `whsec_${randomBytes(32).toString('base64')}`;

beforeAll(async () => {
  fixture = await ApiFixture.start({
    WEBHOOK_SECRETS: `${secret},${nextSecret}`,
    BROKER_SECRETS: `/eu=${ownSecret},/eu=${nextOwnSecret},horizon/cs1=${ownSecret}`,
  });
  await fixture.running('desk-1');
  const { policy } = await fixture.client.pool('default');
  await fixture.client.putPool('default', { ...policy, brokers: 'any' });
});
afterAll(() => fixture.stop());

interface Sent {
  id?: string;
  at?: Date;
  secret?: string;
  body?: unknown;
  contentType?: string;
  headers?: Record<string, string>;
  path?: string;
}

const connected = (connectionId: string, desktopId = 'desk-1') => ({
  specversion: '1.0',
  id: `event-${randomBytes(8).toString('hex')}`,
  source: 'broker-1',
  type: 'vdc.session.connected',
  data: { desktopId, connectionId },
});

/** Signs and sends byte for byte what it is given. */
function send({ id = `msg_${randomBytes(8).toString('hex')}`, at = new Date(), ...sent }: Sent): Promise<Response> {
  const { body: given = connected('c-1'), contentType = 'application/cloudevents+json', headers } = sent;
  const body = typeof given === 'string' ? given : JSON.stringify(given);
  return fetch(`${fixture.api.url}${sent.path ?? '/v1/webhooks'}`, {
    method: 'POST',
    headers: {
      'content-type': contentType,
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(sent.secret ?? secret).sign(id, at, body),
      ...headers,
    },
    body,
  });
}

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);

test('a signed event is stored, decided about and answered 202 with the state of the desktop', async () => {
  const events = await fixture.rows('inbox_events');
  const response = await send({ body: connected('c-accepted') });
  expect(response.status).toBe(202);
  expect(await response.json()).toEqual({
    accepted: true,
    duplicate: false,
    outcome: 'applied',
    desktop: { id: 'desk-1', machineState: 'running', etaMs: 0 },
  });
  expect(await fixture.rows('inbox_events')).toBe(events + 1);
  expect((await fixture.client.desktop('desk-1')).presence.connections).toContain('c-accepted');
});

test('a broker that the pool of a desktop does not allow is refused, and that is audited', async () => {
  const { policy } = await fixture.client.pool('default');
  await fixture.client.putPool('default', { ...policy, brokers: [' broker-1 '] });
  const events = await fixture.rows('inbox_events');
  const response = await send({ body: { ...connected('c-stranger'), source: 'broker-2' } });
  await problemOf(response, 'BROKER_NOT_ALLOWED', 403);
  expect((await send({ body: connected('c-allowed') })).status).toBe(202);
  expect(await fixture.rows('inbox_events')).toBe(events + 1);
  expect((await fixture.client.desktop('desk-1')).presence.connections).not.toContain('c-stranger');
  const { value: entry } = await fixture.client.audit({ actor: 'broker:broker-2' }).next();
  expect(entry).toMatchObject({ outcome: 'BROKER_NOT_ALLOWED' });
  await fixture.client.putPool('default', policy);
});

test('a desktop belongs to the first broker that speaks of it, until an operator gives it to another', async () => {
  const { policy } = await fixture.client.pool('default');
  await fixture.client.putPool('default', { ...policy, brokers: 'first' });
  await fixture.running('desk-owned');
  const by = (source: string, type = 'connected') =>
    send({ body: { ...connected('c-1', 'desk-owned'), source, type: `vdc.session.${type}` } });
  expect((await by(' owner')).status).toBe(202);
  for (const type of ['connected', 'disconnected', 'logged_off', 'connect_requested']) {
    const { detail } = await problemOf(await by('other', type), 'BROKER_NOT_ALLOWED', 403);
    expect(detail).toContain('dormouse desktop broker desk-owned other');
  }
  expect(await fixture.client.desktop('desk-owned')).toMatchObject({
    broker: 'owner',
    presence: { connections: ['c-1'], sources: [{ source: 'owner' }] },
  });
  const reason = 'the brokers were exchanged';
  expect(await fixture.client.nameBroker('desk-owned', { source: ' other ', reason })).toMatchObject({
    broker: 'other',
    presence: { connections: ['c-1'] },
  });
  expect((await fixture.audit()).at(-1)).toMatchObject({
    action: 'desktop.broker',
    target: 'desk-owned',
    reason,
    outcome: 'applied',
  });
  expect((await by('other')).status).toBe(202);
  await problemOf(await by('owner'), 'BROKER_NOT_ALLOWED', 403);
  expect((await by('owner', 'disconnected')).status).toBe(202);
  await fixture.client.retireBroker('other', reason);
  expect(await fixture.client.desktop('desk-owned')).toMatchObject({ broker: null, presence: { connections: [] } });
  expect((await by('owner')).status).toBe(202);
  await problemOf(await by('other'), 'BROKER_NOT_ALLOWED', 403);
  await problemOf(
    await fixture.fetch('/v1/desktops/desk-owned/broker', { method: 'PUT', body: { reason } }),
    'REQUEST_INVALID',
    400,
  );
  await fixture.client.putPool('default', policy);
});

test('a desktop has one name, whatever capitals it is written with: in events, in the api, in either shape', async () => {
  const [id, other, third] = ['Win10_017.example', 'WIN10_017.EXAMPLE', 'win10_017.example'];
  await fixture.running(id);
  const answer = await send({ body: connected('c-caps', other) });
  expect(await answer.json()).toMatchObject({ outcome: 'applied', desktop: { id } });
  const agent = { EventType: 'AGENT_CONNECTED', MachineName: other, UserDisplayName: 'EXAMPLE\\ada', Node: 'n' };
  const shaped = await send({ path: '/v1/webhooks/horizon', body: agent, contentType: 'application/json' });
  expect(await shaped.json()).toMatchObject({ outcome: 'applied', desktop: { id } });
  expect(await fixture.client.desktop(third)).toMatchObject({
    id,
    presence: { connections: ['EXAMPLE\\ada', 'c-caps'] },
  });
  const { launchSpec } = await fixture.client.desktop(id);
  expect(await fixture.client.putDesktop(other, { poolId: 'default', launchSpec })).toMatchObject({ id });
  const until = new Date(Date.now() + 60_000).toISOString();
  expect(await fixture.client.hold(third, { until, reason: 'test' })).toMatchObject({ id });
  expect((await fixture.audit()).at(-1)).toMatchObject({ action: 'desktop.hold', target: id });
  expect((await fixture.client.operationsOf(other)).map(({ desktopId }) => desktopId)).toContain(id);
  const rows = await fixture.dataSource.query<{ desktop_id: string }[]>(
    `SELECT DISTINCT desktop_id FROM inbox_events WHERE lower(desktop_id) = $1`,
    [third],
  );
  expect(rows).toEqual([{ desktop_id: id }]);
});

test.each([
  ['webhook', 'msg_twice'],
  ['event, under another webhook-id', 'msg_thrice'],
])('the same %s twice is answered 202 and has no second effect', async (_, secondId) => {
  const body = connected(`c-${secondId}`);
  await send({ id: secondId === 'msg_twice' ? secondId : 'msg_other', body });
  await send({ body: { ...connected(`c-${secondId}`), type: 'vdc.session.disconnected' } });
  const before = [await fixture.stored(), await fixture.client.desktop('desk-1')];
  // Written otherwise, it is the same event.
  const again = await send({ id: secondId, body: Object.fromEntries(Object.entries(body).reverse()) });
  expect(again.status).toBe(202);
  expect(await again.json()).toMatchObject({ accepted: true, duplicate: true, desktop: { id: 'desk-1' } });
  expect([await fixture.stored(), await fixture.client.desktop('desk-1')]).toEqual(before);
});

test('ids belong to their broker: the same webhook-id and event id of another one are another event', async () => {
  const events = await fixture.rows('inbox_events');
  for (const source of ['ids-a', 'ids-b']) {
    const answer = await send({ id: 'msg_1', body: { ...connected(`c-${source}`), id: '1', source } });
    expect(await answer.json()).toMatchObject({ duplicate: false, outcome: 'applied' });
  }
  expect(await fixture.rows('inbox_events')).toBe(events + 2);
});

test.each([
  ['WEBHOOK_ID_REUSED', 'msg_once', { id: 'event-once' }],
  ['WEBHOOK_ID_REUSED', 'msg_once', { id: 'event-other' }],
  ['EVENT_ID_REUSED', 'msg_other_id', { id: 'event-once' }],
])('another content under a known id is refused with %s, and changes nothing', async (code, id, changed) => {
  await send({ id: 'msg_once', body: { ...connected('c-once'), id: 'event-once' } });
  const before = [await fixture.stored(), await fixture.client.desktop('desk-1')];
  const body = { ...connected('c-once'), ...changed, type: 'vdc.session.disconnected' };
  await problemOf(await send({ id, body }), code, 409);
  const heartbeat = { specversion: '1.0', source: 'broker-1', type: 'vdc.broker.heartbeat', ...changed };
  await problemOf(await send({ id, body: heartbeat }), code, 409);
  const ofNobody = { ...body, data: { desktopId: 'desk-unknown', connectionId: 'c-once' } };
  await problemOf(await send({ id, body: ofNobody }), code, 409);
  expect([await fixture.stored(), await fixture.client.desktop('desk-1')]).toEqual(before);
});

test('ten of the same webhook at once have one effect', async () => {
  const events = await fixture.rows('inbox_events');
  const body = connected('c-storm');
  const answers = await Promise.all(Array.from({ length: 10 }, () => send({ id: 'msg_storm', body })));
  const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as { duplicate: boolean }[];
  expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(202));
  expect(bodies.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  expect(await fixture.rows('inbox_events')).toBe(events + 1);
});

test('while a secret is being replaced, both are accepted', async () => {
  expect((await send({ secret: nextSecret })).status).toBe(202);
  expect((await send({ secret })).status).toBe(202);
});

test('a broker with secrets of its own is believed with each of them, and with no other', async () => {
  const event = () => ({ ...connected('c-own'), source: '/eu' });
  expect((await send({ secret: ownSecret, body: event() })).status).toBe(202);
  expect((await send({ secret: nextOwnSecret, body: event() })).status).toBe(202);
  expect((await send({ secret: ownSecret, body: { ...event(), source: ' /eu ' } })).status).toBe(202);
  await problemOf(await send({ secret, body: event() }), 'SIGNATURE_INVALID', 401);
  for (const source of ['/eu ', '/EU', '/e\u200bu', '/ｅｕ', '/e u']) {
    await problemOf(await send({ secret, body: { ...event(), source } }), 'SIGNATURE_INVALID', 401);
  }
  await problemOf(await send({ secret: ownSecret, body: connected('c-own') }), 'SIGNATURE_INVALID', 401);
});

describe('a broker that speaks in a shape of its own', () => {
  const path = '/v1/webhooks/horizon';
  const message = { EventType: 'AGENT_CONNECTED', MachineName: 'DESK-1', UserDisplayName: 'ada', Node: 'cs1' };
  const connections = async () => (await fixture.client.desktop('desk-1')).presence.connections;

  test('is understood, all that one message means, and once', async () => {
    expect((await send({ path, body: message, secret: ownSecret })).status).toBe(202);
    expect(await connections()).toContain('ada');
    const events = await fixture.rows('inbox_events');
    const ended = { path, id: 'msg_ended', body: { ...message, EventType: 'AGENT_ENDED' }, secret: ownSecret };
    expect(await (await send(ended)).json()).toMatchObject({ duplicate: false, desktop: { id: 'desk-1' } });
    expect(await connections()).not.toContain('ada');
    expect(await (await send(ended)).json()).toMatchObject({ duplicate: true });
    expect(await fixture.rows('inbox_events')).toBe(events + 2);
  });

  test('is answered 202 when it says what is nothing to us', async () => {
    const answer = await send({ path, body: { ...message, EventType: 'AGENT_STARTUP' }, secret: ownSecret });
    expect(await answer.json()).toEqual({ accepted: true, duplicate: false, outcome: 'ignored', desktop: null });
  });

  test('is checked like any other: its signature, its secret, its message', async () => {
    await problemOf(await send({ path, body: message }), 'SIGNATURE_INVALID', 401);
    await problemOf(await send({ path, body: {}, secret: ownSecret }), 'EVENT_MALFORMED', 400);
    await problemOf(await send({ path: '/v1/webhooks/nobodys', body: message }), 'ROUTE_UNKNOWN', 404);
  });
});

test('one good signature among several is enough', async () => {
  const at = new Date();
  const body = JSON.stringify(connected('c-several'));
  const good = new Webhook(secret).sign('msg_several', at, body);
  const response = await send({
    id: 'msg_several',
    at,
    body,
    headers: { 'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')} v1a,abc ${good}` },
  });
  expect(response.status).toBe(202);
});

test('an event of 4 minutes ago is accepted: clocks differ and brokers send again', async () => {
  expect((await send({ at: minutesAgo(4) })).status).toBe(202);
});

test('a webhook of the broker itself is accepted and concerns no desktop', async () => {
  const response = await send({
    body: { specversion: '1.0', id: 'e', source: 'broker-1', type: 'vdc.broker.heartbeat', data: {} },
  });
  expect(await response.json()).toMatchObject({ accepted: true, desktop: null });
});

describe('refused, with nothing stored but the audit line:', () => {
  type Case = [name: string, code: string, status: number, actor: string, sent: () => Promise<Response>];
  const cases: Case[] = [
    [
      'a signature of another secret',
      'SIGNATURE_INVALID',
      401,
      'anonymous',
      () => send({ secret: `whsec_${randomBytes(32).toString('base64')}` }),
    ],
    [
      'a body changed after signing',
      'SIGNATURE_INVALID',
      401,
      'anonymous',
      () => send({ headers: { 'webhook-signature': new Webhook(secret).sign('msg_x', new Date(), '{}') } }),
    ],
    [
      'a missing signature',
      'SIGNATURE_INVALID',
      401,
      'anonymous',
      () => send({ headers: { 'webhook-signature': '' } }),
    ],
    [
      'a signature without a version',
      'SIGNATURE_INVALID',
      401,
      'anonymous',
      () => send({ headers: { 'webhook-signature': 'v1' } }),
    ],
    ['a missing id', 'SIGNATURE_INVALID', 401, 'anonymous', () => send({ headers: { 'webhook-id': '' } })],
    [
      'a timestamp that is none',
      'SIGNATURE_INVALID',
      401,
      'anonymous',
      () => send({ headers: { 'webhook-timestamp': 'yesterday' } }),
    ],
    [
      'no JSON, and no good signature',
      'SIGNATURE_INVALID',
      401,
      'anonymous',
      () => send({ body: '{', headers: { 'webhook-signature': 'v1,AAAA' } }),
    ],
    ['a timestamp of 6 minutes ago', 'SIGNATURE_STALE', 401, 'anonymous', () => send({ at: minutesAgo(6) })],
    ['a timestamp 6 minutes ahead', 'SIGNATURE_STALE', 401, 'anonymous', () => send({ at: minutesAgo(-6) })],
    [
      'an unknown desktop',
      'DESKTOP_UNKNOWN',
      404,
      'broker:broker-1',
      () => send({ body: connected('c-1', 'desk-unknown') }),
    ],
    ['no JSON', 'EVENT_MALFORMED', 400, 'broker', () => send({ body: '{"specversion":' })],
    ['an empty body', 'EVENT_MALFORMED', 400, 'broker', () => send({ body: '' })],
    ['JSON that is no object', 'EVENT_MALFORMED', 400, 'broker', () => send({ body: '[1]' })],
    [
      'text that cannot be stored',
      'EVENT_MALFORMED',
      400,
      'broker',
      () => send({ body: JSON.stringify({ ...connected('c-1'), note: 'nul \0 byte' }) }),
    ],
    [
      'half of a surrogate pair',
      'EVENT_MALFORMED',
      400,
      'broker',
      () => send({ body: JSON.stringify({ ...connected('c-1'), note: '\ud800' }) }),
    ],
    ['a member named __proto__', 'EVENT_MALFORMED', 400, 'broker', () => send({ body: '{"__proto__":{}}' })],
  ];

  // Each case has a line of its own; how many lines a minute has is another test's.
  beforeEach(() => fixture.dataSource.query('DELETE FROM audit_refusals'));

  test.each(cases)('%s', async (_, code, status, actor, sent) => {
    const [stored, audited] = [await fixture.stored(), (await fixture.audit()).length];
    await problemOf(await sent(), code, status);
    expect(await fixture.stored()).toEqual(stored);
    expect((await fixture.audit()).slice(audited)).toEqual([
      expect.objectContaining({ actor, action: 'webhook', target: '/v1/webhooks', outcome: code }),
    ]);
  });

  test.each([
    ['specversion', { ...connected('c-1'), specversion: '0.3' }],
    ['type', { ...connected('c-1'), type: 'vdc.session.exploded' }],
    ['source', { ...connected('c-1'), source: '' }],
    ['id', { ...connected('c-1'), id: 7 }],
    ['data', { ...connected('c-1'), data: null }],
    ['data.desktopId', connected('c-1', '../../etc/passwd')],
    ['data.connectionId', connected('')],
    ['data.sequence', { ...connected('c-1'), data: { desktopId: 'desk-1', connectionId: 'c-1', sequence: -1 } }],
  ])('a malformed %s, which is named', async (field, body) => {
    const [stored, audited] = [await fixture.stored(), (await fixture.audit()).length];
    const problem = await problemOf(await send({ body }), 'EVENT_MALFORMED', 400);
    expect(problem).toMatchObject({ field });
    expect(problem.detail).toContain(field);
    expect(await fixture.stored()).toEqual(stored);
    expect((await fixture.audit()).slice(audited)).toMatchObject([{ outcome: 'EVENT_MALFORMED' }]);
  });
});

test('a body larger than any event is refused before it is read', async () => {
  await problemOf(await send({ body: `"${'x'.repeat(300 * 1024)}"` }), 'REQUEST_TOO_LARGE', 413);
});

test.each([
  ['text/xml', {}],
  ['text/plain', {}],
  ['application/x-www-form-urlencoded', {}],
  ['application/json; charset=iso-8859-1', {}],
  ['application/json', { 'content-encoding': 'gzip' }],
])('a body of the type %s %j is refused for that reason', async (contentType, headers) => {
  await problemOf(await send({ contentType, headers }), 'MEDIA_TYPE_UNSUPPORTED', 415);
});

test('a byte order mark before the body is passed over', async () => {
  expect((await send({ body: `\uFEFF${JSON.stringify(connected('c-bom'))}` })).status).toBe(202);
});

test('a side field that cannot be read costs nothing but a note', async () => {
  const data = { desktopId: 'desk-1', connectionId: 'c-side', reason: 5, userRef: 'two\nlines' };
  const body = { ...connected('c-side'), type: 'vdc.session.disconnected', data };
  const answer = (await (await send({ body })).json()) as { notes: string[] };
  expect(answer).toMatchObject({ accepted: true, duplicate: false });
  expect(answer.notes).toEqual([expect.stringContaining('userRef'), expect.stringContaining('reason')]);
  const [row] = await fixture.dataSource.query('SELECT notes FROM inbox_events WHERE event_id = $1', [body.id]);
  expect(row.notes).toEqual(answer.notes);
});

describe('in binary mode', () => {
  const headersOf = ({ specversion, id, source, type }: ReturnType<typeof connected>) => ({
    'ce-specversion': specversion,
    'ce-id': id,
    'ce-source': encodeURIComponent(source),
    'ce-type': type,
  });
  const sendBinary = (event: ReturnType<typeof connected>) =>
    send({ contentType: 'application/json', headers: headersOf(event), body: event.data });

  test('an event is what it is in structured mode, and the same one', async () => {
    const event = { ...connected('c-binary'), source: 'büro' };
    expect(await (await sendBinary(event)).json()).toMatchObject({ outcome: 'applied', duplicate: false });
    expect(await (await send({ body: event })).json()).toMatchObject({ duplicate: true });
    expect((await fixture.client.desktop('desk-1')).presence.connections).toContain('c-binary');
  });

  test('a heartbeat needs no body', async () => {
    const event = { ...connected('-'), type: 'vdc.broker.heartbeat' };
    expect((await send({ headers: headersOf(event), contentType: 'application/json', body: '' })).status).toBe(202);
  });

  test('attributes are read as strictly', async () => {
    const event = { ...connected('c-binary'), type: 'constructor' };
    expect(await problemOf(await sendBinary(event), 'EVENT_MALFORMED', 400)).toMatchObject({ field: 'type' });
    const headers = { ...headersOf(connected('c-binary')), 'ce-source': '%E0%A4%A' };
    const answer = await send({ contentType: 'application/json', headers, body: connected('c-binary').data });
    expect(await problemOf(answer, 'EVENT_MALFORMED', 400)).toMatchObject({ field: 'source' });
  });
});

describe('in batch mode', () => {
  const contentType = 'application/cloudevents-batch+json';
  const connections = async () => (await fixture.client.desktop('desk-1')).presence.connections;

  test('each event is answered, one that is refused harms no other, and sent again nothing happens twice', async () => {
    const body = [connected('c-batch-1'), connected('c-batch-2', 'desk-unknown'), connected('c-batch-3')];
    const answer = await send({ id: 'msg_batch', contentType, body });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({
      accepted: false,
      items: [
        expect.objectContaining({ id: body[0]!.id, source: 'broker-1', accepted: true, outcome: 'applied' }),
        expect.objectContaining({
          id: body[1]!.id,
          accepted: false,
          error: expect.objectContaining({ code: 'DESKTOP_UNKNOWN' }),
        }),
        expect.objectContaining({ id: body[2]!.id, accepted: true, outcome: 'applied' }),
      ],
    });
    expect(await connections()).toEqual(expect.arrayContaining(['c-batch-1', 'c-batch-3']));
    const again = (await (await send({ id: 'msg_batch', contentType, body })).json()) as { items: object[] };
    expect(again.items[0]).toMatchObject({ duplicate: true });
    expect(again.items[2]).toMatchObject({ duplicate: true });
  });

  test.each([
    ['that is malformed', 'EVENT_MALFORMED', 400, { ...connected('c-bad'), type: 'nonsense' }],
    ['of a broker whose secret it is not', 'SIGNATURE_INVALID', 401, { ...connected('c-bad'), source: '/eu' }],
  ])('one event %s, and none is stored', async (_, code, status, bad) => {
    const stored = await fixture.stored();
    await problemOf(await send({ contentType, body: [connected('c-good'), bad] }), code, status);
    expect(await fixture.stored()).toEqual(stored);
    expect(await connections()).not.toContain('c-good');
  });

  test('what is no list is refused, and an empty one is nothing', async () => {
    await problemOf(await send({ contentType, body: connected('c-1') }), 'EVENT_MALFORMED', 400);
    expect(await (await send({ contentType, body: [] })).json()).toEqual({ accepted: true, items: [] });
  });
});

test('webhooks are counted by what came of them', async () => {
  await send({ secret: `whsec_${randomBytes(32).toString('base64')}` });
  const metrics = await (await fetch(`${fixture.api.url}/metrics`)).text();
  expect(metrics).toMatch(/dormouse_webhooks_total\{outcome="applied",service="api"\} [1-9]/);
  expect(metrics).toMatch(/dormouse_webhooks_total\{outcome="SIGNATURE_INVALID",service="api"\} [1-9]/);
});
