import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { brokerEventTypes } from '@dormouse/session';
import { Webhook } from 'standardwebhooks';
import { ApiFixture } from './api-fixture';

jest.setTimeout(120_000);

/** Whatever comes from outside is answered as a mistake of the caller, never as one of ours. */
const seed = 20_300_131;

let fixture: ApiFixture;
let limitedKey: string;
beforeAll(async () => {
  fixture = await ApiFixture.start({ RATE_LIMIT_KEYS: '100000/100000', RATE_LIMIT_BROKERS: '100000/100000' });
  await fixture.running('desk-1');
  const limited = { scope: 'admin', pools: ['default'], reason: 'a test' } as const;
  limitedKey = (await fixture.client.createApiKey('limited', limited)).key;
});
afterAll(() => fixture.stop());

const uuid = '00000000-0000-4000-8000-000000000000';

/** Texts that have broken something somewhere. */
const oddTexts = [
  ...[
    '',
    ' ',
    '.',
    '..',
    '../../etc/passwd',
    '\0',
    'a\0b',
    '\n',
    'two\nlines',
    '\u202e',
    '\ud800',
    '💤',
    'ä',
    'x'.repeat(101),
  ],
  ...[
    'x'.repeat(300),
    'x'.repeat(5_000),
    'constructor',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'null',
    'undefined',
    'NaN',
  ],
  ...[
    '-1',
    '0',
    '1e400',
    '9223372036854775808',
    '2030-W05-4',
    '2030-031',
    '20300131T083000Z',
    'friday 2027',
    'infinity',
    'epoch',
  ],
  ...[
    '-200000-01-01T00:00:00Z',
    '+275761-01-01T00:00:00Z',
    '2030-02-30T00:00:00Z',
    '2016-12-31T23:59:60Z',
    'now',
    "' OR 1=1 --",
  ],
  ...[
    'desk-1',
    'default',
    'VDI_01',
    'name-0.domain',
    'a:b',
    'images',
    '%00',
    '%',
    '$1',
    '{}',
    uuid,
    uuid.toUpperCase(),
  ],
];

const oddValues: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(...oddTexts),
  fc.constantFrom<unknown>(
    0,
    -1,
    1.5,
    2 ** 53,
    -(2 ** 31) - 1,
    1e308,
    Number.MIN_VALUE,
    true,
    false,
    null,
    [],
    {},
    [[]],
    [null],
    [{}],
  ),
  fc.constantFrom<unknown>(['default', 7], { toString: 'x' }, { constructor: {} }, { length: 1e9 }, { $ref: '#' }, [
    'x'.repeat(300),
  ]),
  fc.jsonValue({ maxDepth: 3 }),
);

interface Route {
  readonly method: string;
  readonly path: string;
  readonly fields: readonly string[];
  readonly query: readonly string[];
}

interface Described {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema: { readonly $ref?: string } }> };
}

async function routes(): Promise<readonly Route[]> {
  const document = (await (await fetch(`${fixture.api.url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, Described>>;
    components: { schemas: Record<string, { properties?: object }> };
  };
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody }]) => {
      const schema = Object.values(requestBody?.content ?? {})[0]
        ?.schema.$ref?.split('/')
        .at(-1);
      return {
        method: method.toUpperCase(),
        path,
        fields: Object.keys(document.components.schemas[schema ?? '']?.properties ?? {}),
        query: parameters.filter((one) => one.in === 'query').map(({ name }) => name),
      };
    }),
  );
}

const good: Readonly<Record<string, unknown>> = { reason: 'a test', scope: 'viewer', until: '2030-01-31T08:30:00Z' };

interface Asked {
  readonly url: string;
  readonly init: RequestInit;
}

function requestFor({ method, path, fields, query }: Route): fc.Arbitrary<Asked> {
  const address = fc.array(fc.constantFrom(...oddTexts), { minLength: 3, maxLength: 3 }).map((texts) => {
    let next = 0;
    return path.replace(/\{\w+\}/g, () => encodeOddly(texts[next++]!));
  });
  const some = (names: readonly string[]) =>
    fc.record(
      Object.fromEntries(names.map((name) => [name, fc.oneof(fc.constant(good[name] ?? 'desk-1'), oddValues)])),
      {
        requiredKeys: [],
      },
    );
  const search = some([...query, 'cursor', 'limit']).map((given) => {
    const pairs = Object.entries(given).map(
      ([name, value]) => `${name}=${encodeOddly(typeof value === 'string' ? value : JSON.stringify(value))}`,
    );
    return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
  });
  const json = fc.oneof(some(fields), some(fields), oddValues).map((value) => JSON.stringify(value) ?? 'undefined');
  const raw = fc.constantFrom(
    '',
    '{',
    '[',
    '"\\ud800"',
    '{"a":1}x',
    '\uFEFF{}',
    '['.repeat(10_000) + ']'.repeat(10_000),
    '{"a":1e999}',
  );
  const type = fc.constantFrom(
    'application/json',
    'application/json',
    'application/json',
    'text/plain',
    'application/cloudevents+json',
  );
  return fc
    .tuple(address, search, fc.oneof({ weight: 4, arbitrary: json }, { weight: 1, arbitrary: raw }), type)
    .map(([at, after, body, contentType]): Asked => ({
      url: at + after,
      init: { method, headers: { 'content-type': contentType }, ...(method !== 'GET' && { body }) },
    }));
}

function encodeOddly(text: string): string {
  if (text === '%' || text === '%00') return text;
  return encodeURIComponent(text.replace(/\p{Cs}/gu, '?')).replace(/\./g, '%2E');
}

async function assertAnswered(answer: Response, asked: unknown): Promise<void> {
  const text = await answer.text();
  if (answer.status < 500 || answer.status === 503) return;
  throw new Error(`${answer.status} for ${JSON.stringify(asked).slice(0, 2_000)}: ${text.slice(0, 500)}`);
}

test('no route answers odd input with a failure of ours', async () => {
  const all = (await routes()).filter(({ path }) => !path.includes('webhooks') && path !== '/v1/keys/rotate');
  expect(all.length).toBeGreaterThan(25);
  for (const route of all) {
    const keys = [fixture.keys.adminKey, limitedKey];
    const asked = fc.sample(requestFor(route), { seed, numRuns: route.method === 'GET' ? 40 : 60 });
    for (const [n, { url, init }] of asked.entries()) {
      // A registration that is taken would be waited for.
      if (route.path === '/v1/desktops/{id}' && route.method === 'PUT' && JSON.stringify(init.body).includes('machine'))
        continue;
      const headers = { ...(init.headers as Record<string, string>), authorization: `Bearer ${keys[n % 2]}` };
      const idempotency = n % 7 === 0 ? { 'idempotency-key': `k${n}` } : {};
      const answer = await fetch(fixture.api.url + url, { ...init, headers: { ...headers, ...idempotency } });
      await assertAnswered(answer, { url, init });
    }
  }
});

test.each([
  ['GET', '/v1/audit?actor=%00', 400],
  ['GET', '/v1/audit?target=a%0Ab', 400],
  ['GET', `/v1/desktops/${'x'.repeat(101)}`, 400],
  ['GET', `/v1/desktops/${'x'.repeat(5_000)}`, 400],
  ['GET', '/v1/desktops/a%00b', 400],
  ['GET', '/v1/pools/__proto__', 400],
  ['GET', '/v1/desktops/constructor', 404],
])('%s %s is answered %d', async (method, path, status) => {
  expect((await fixture.fetch(path, { method })).status).toBe(status);
});

test.each(['2030-W05-4', '2030-031', '20300131T083000Z', 'friday 2027', '2030-01-31', '-200000', 7])(
  'the time %j is refused, and the answer says how one is written',
  async (until) => {
    const answer = await fixture.fetch('/v1/desktops/desk-1/hold', {
      method: 'PUT',
      body: { until, reason: 'a test' },
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('2030-01-31T18:00:00Z') });
  },
);

test('no webhook does either, in whatever shape and mode it comes', async () => {
  const secret = fixture.keys.webhookSecrets[0]!;
  const data = fc.record(
    Object.fromEntries(
      ['desktopId', 'connectionId', 'connectionIds', 'reason', 'userRef', 'poolId', 'sequence', 'brokerEpoch'].map(
        (name) => [name, fc.oneof(fc.constant(name === 'sequence' ? 1 : 'desk-1'), oddValues)],
      ),
    ),
    { requiredKeys: [] },
  );
  const envelope = fc.record(
    {
      specversion: fc.oneof({ weight: 9, arbitrary: fc.constant('1.0') }, { weight: 1, arbitrary: oddValues }),
      id: fc.oneof(fc.uuid(), oddValues),
      source: fc.oneof(fc.constant('a-broker'), oddValues),
      type: fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom(...brokerEventTypes) },
        { weight: 1, arbitrary: oddValues },
      ),
      time: fc.oneof(fc.constant('2030-01-31T08:30:00Z'), oddValues),
      data: fc.oneof({ weight: 4, arbitrary: data }, { weight: 1, arbitrary: oddValues }),
    },
    { requiredKeys: ['specversion', 'id', 'source', 'type'] },
  );
  const horizon = fc.record(
    { EventType: fc.oneof(fc.constant('AGENT_CONNECTED'), oddValues), MachineName: oddValues, Time: oddValues },
    {},
  );
  const message = fc.oneof(
    { weight: 6, arbitrary: fc.record({ shape: fc.constant(''), body: envelope }) },
    {
      weight: 2,
      arbitrary: fc.record({
        shape: fc.constant('batch'),
        body: fc.oneof(fc.array(envelope, { maxLength: 5 }), oddValues),
      }),
    },
    { weight: 2, arbitrary: fc.record({ shape: fc.constant('/horizon'), body: horizon }) },
    {
      weight: 1,
      arbitrary: fc.record({ shape: fc.constantFrom('/constructor', '/__proto__', '/%00'), body: envelope }),
    },
  );
  let accepted = 0;
  for (const { shape, body } of fc.sample(message, { seed, numRuns: 1_200 })) {
    const [id, at, text] = [`msg_${randomBytes(8).toString('hex')}`, new Date(), JSON.stringify(body)];
    const isBatch = shape === 'batch';
    const answer = await fetch(`${fixture.api.url}/v1/webhooks${isBatch ? '' : shape}`, {
      method: 'POST',
      headers: {
        'content-type': `application/cloudevents${isBatch ? '-batch' : ''}+json`,
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
        'webhook-signature': new Webhook(secret).sign(id, at, text),
      },
      body: text,
    });
    if (answer.status === 202) accepted += 1;
    await assertAnswered(answer, { shape, body });
  }
  expect(accepted).toBeGreaterThan(20);
});
