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
  id: 'event-1',
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

test('the same webhook-id twice is answered 202 and has no second effect', async () => {
  await send({ id: 'msg_twice', body: connected('c-twice') });
  await send({ body: { ...connected('c-twice'), type: 'vdc.session.disconnected' } });
  const before = [await fixture.stored(), await fixture.client.desktop('desk-1')];
  const again = await send({ id: 'msg_twice', body: connected('c-twice') });
  expect(again.status).toBe(202);
  expect(await again.json()).toMatchObject({ accepted: true, duplicate: true, desktop: { id: 'desk-1' } });
  expect([await fixture.stored(), await fixture.client.desktop('desk-1')]).toEqual(before);
});

test('ten of the same webhook at once have one effect', async () => {
  const events = await fixture.rows('inbox_events');
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => send({ id: 'msg_storm', body: connected('c-storm') })),
  );
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
  const event = { ...connected('c-own'), source: '/eu' };
  expect((await send({ secret: ownSecret, body: event })).status).toBe(202);
  expect((await send({ secret: nextOwnSecret, body: event })).status).toBe(202);
  await problemOf(await send({ secret, body: event }), 'SIGNATURE_INVALID', 401);
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

test('a body of another type is refused', async () => {
  await problemOf(await send({ contentType: 'text/xml' }), 'MEDIA_TYPE_UNSUPPORTED', 415);
});

test('webhooks are counted by what came of them', async () => {
  await send({ secret: `whsec_${randomBytes(32).toString('base64')}` });
  const metrics = await (await fetch(`${fixture.api.url}/metrics`)).text();
  expect(metrics).toMatch(/dormouse_webhooks_total\{outcome="applied",service="api"\} [1-9]/);
  expect(metrics).toMatch(/dormouse_webhooks_total\{outcome="SIGNATURE_INVALID",service="api"\} [1-9]/);
});
