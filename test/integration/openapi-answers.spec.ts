import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Ajv, { type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { ApiFixture, launchSpec } from './api-fixture';
import { patternOf } from './described-problems';
import { checkpoint } from './ledger-fixture';

jest.setTimeout(120_000);

type Schema = Readonly<Record<string, unknown>>;
type Responses = Record<string, { content?: Record<string, { schema: Schema }> }>;
interface Described {
  readonly paths: Record<string, Record<string, { responses: Responses }>>;
  readonly components: Schema;
}

interface Route {
  readonly name: string;
  readonly method: string;
  readonly path: RegExp;
  /** By status; null where the description promises an answer without JSON. */
  readonly answers: ReadonlyMap<number, ValidateFunction | null>;
}

const reason = 'asked for by a test';

let fixture: ApiFixture;
let routes: Route[];
const called = new Set<string>();

beforeAll(async () => {
  fixture = await ApiFixture.start();
  routes = routesOf((await (await fixture.fetch('/openapi.json')).json()) as Described);
});
afterAll(() => fixture.stop());

function routesOf({ paths, components }: Described): Route[] {
  const ajv = addFormats(new Ajv({ allErrors: true, strict: false }));
  ajv.addSchema({ $id: 'api', components: strict(components) });
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses }]) => ({
      name: `${method} ${path}`,
      method,
      path: patternOf(path),
      answers: new Map(
        Object.entries(responses).map(([status, { content }]) => {
          const schema = content?.['application/json']?.schema;
          return [Number(status), schema ? ajv.compile(strict(schema) as Schema) : null];
        }),
      ),
    })),
  );
}

/** With references into the description. An object has the properties that are described and no others. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inner: Record<string, unknown> = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, key === '$ref' ? `api${String(value)}` : strict(value)]),
  );
  if (inner['type'] === 'object' && inner['properties'] !== undefined) inner['additionalProperties'] ??= false;
  return inner;
}

/** Calls a route and holds its answer against the description. */
async function call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fixture.fetch(path, { method: method.toUpperCase(), body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${text}`);
  const pathname = path.replace(/\?.*/, '');
  const route = routes.find((one) => one.method === method && one.path.test(pathname));
  if (route === undefined) throw new Error(`${method} ${pathname} is not described`);
  called.add(route.name);
  const { name, answers } = route;
  const { status } = response;
  expect({ name, status, isDescribed: answers.has(status) }).toEqual({ name, status, isDescribed: true });
  const matches = answers.get(status);
  if (!matches) return {};
  const answer = JSON.parse(text) as Record<string, unknown>;
  expect({ name, errors: matches(answer) ? null : matches.errors }).toEqual({ name, errors: null });
  return answer;
}

/** Saves a running desktop as a worker would. @returns its checkpoint */
async function saved(id: string): Promise<string> {
  const { id: operationId, generation } = await fixture.client.command(id, 'save', { reason });
  const { fence } = (await fixture.ledger.claim(operationId, generation, 'worker-1', 60_000))!;
  const facts = checkpoint();
  await fixture.ledger.authorizeSwitchover(fence);
  await fixture.ledger.commitCheckpoint(fence, facts);
  await fixture.ledger.beginRelease(fence);
  await fixture.ledger.finish(fence, { status: 'succeeded' });
  return facts.id;
}

test('every route answers what its description says, no field more and none less', async () => {
  const until = new Date(Date.now() + 60_000).toISOString();
  const desktop = '/v1/desktops/desk-1';
  await fixture.announceHost();
  const examined = fixture.work('desk-1', { status: 'succeeded', desktop: { fingerprint: { machine: 'pc-q35-7.2' } } });
  await call('put', desktop, { launchSpec });
  await examined;

  const start = await call('post', `${desktop}/start`, { reason });
  await call('get', `/v1/operations/${String(start['id'])}`);
  await call('post', `/v1/operations/${String(start['id'])}/cancel`, { reason });
  await call('post', `${desktop}/prewarm`, { reason });
  await fixture.work('desk-1', { status: 'succeeded', result: {} });
  await call('put', `${desktop}/hold`, { reason, until });
  await call('put', `${desktop}/broker`, { source: 'test-broker', reason });
  await call('get', desktop);
  await call('delete', `${desktop}/hold?reason=done`);

  const first = await saved('desk-1');
  await call('post', `${desktop}/restore`, { reason });
  await call('get', `${desktop}/explain`);
  await fixture.work('desk-1', { status: 'succeeded' });
  const save = await call('post', `${desktop}/save`, { reason });
  await call('post', `/v1/operations/${String(save['id'])}/cancel`, { reason });
  await saved('desk-1');
  await call('put', `${desktop}/checkpoints/${first}/pin`, { reason });
  await call('get', `${desktop}/checkpoints`);
  await call('delete', `${desktop}/checkpoints/${first}/pin?reason=done`);
  await call('get', `${desktop}/operations`);
  await call('get', '/v1/desktops');
  await blocked('desk-1');
  await call('get', `${desktop}/explain`);
  await call('post', `${desktop}/consent`, { to: 'cold-boot', reason });

  await fixture.running('desk-2');
  await call('post', '/v1/desktops/desk-2/stop', { reason });
  await fixture.work('desk-2', { status: 'succeeded', result: {} });
  await call('delete', '/v1/desktops/desk-2');

  await fixture.sendEvent({ type: 'vdc.broker.heartbeat', data: { brokerEpoch: 'one', intervalSeconds: 30 } });
  await call('get', '/v1/brokers');
  await call('post', '/v1/brokers/test-broker/retire', { reason });
  const event = {
    specversion: '1.0',
    id: 'e1',
    source: 'test-broker',
    data: { desktopId: 'desk-1', connectionId: 'c' },
  };
  await call('post', '/v1/events/rehearse', { events: [{ ...event, type: 'vdc.session.connected' }] });
  await call('put', '/v1/pools/default', { policy: { graceMs: 60_000, keepCheckpoints: 2, storm: {} } });
  await call('get', '/v1/pools/default');
  await call('get', '/v1/hosts');
  for (const intent of ['cordon', 'uncordon', 'drain']) await call('post', `/v1/hosts/host-1/${intent}`, { reason });
  await fixture.dataSource.query(`UPDATE hosts SET seen_at = now() - interval '1 hour'`);
  await call('post', '/v1/hosts/host-1/fence', { reason });
  await call('put', '/v1/api-keys/service-desk', { scope: 'operator', reason });
  await call('get', '/v1/api-keys');
  await call('delete', '/v1/api-keys/service-desk?reason=left');
  await call('post', '/v1/keys/rotate', { reason });
  await call('get', '/v1/keys');
  await call('get', '/v1/audit');
  await call('get', '/v1/audit/export?before=2030-01-01T00:00:00Z');
  await call('post', '/v1/audit/prune', { before: '2020-01-01T00:00:00Z', reason });
  for (const path of ['/healthz', '/readyz', '/metrics']) await call('get', path);

  const never = routes.map(({ name }) => name).filter((name) => !called.has(name));
  // Brokers call these with a signature; `webhooks.spec.ts` holds their answers.
  expect(never).toEqual(['post /v1/webhooks', 'post /v1/webhooks/{shape}']);
});

test('the description is well made by Redocly’s recommended rules', async () => {
  const at = (name: string): string => join(fixture.directory, name);
  // The three open routes refuse nobody: they have no answer of 4xx.
  await writeFile(at('redocly.yaml'), 'extends: [recommended]\nrules: { operation-4xx-response: off }\n');
  await writeFile(at('openapi.json'), await (await fixture.fetch('/openapi.json')).text());
  const program = join(process.cwd(), 'node_modules/.bin/redocly');
  const { stdout } = await promisify(execFile)(
    program,
    ['lint', at('openapi.json'), '--config', at('redocly.yaml'), '--format', 'json', '--max-problems', '1000'],
    { env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } },
  ).catch((error: { stdout: string }) => error);
  const { problems } = JSON.parse(stdout) as { problems: readonly { ruleId: string; message: string }[] };
  expect(problems.map(({ ruleId, message }) => `${ruleId}: ${message}`)).toEqual([]);
});

/** Its checkpoint is damaged. */
async function blocked(id: string): Promise<void> {
  await fixture.client.command(id, 'restore', { reason });
  const error = { code: 'CHECKPOINT_CORRUPT', message: 'a page is damaged', details: {} } as const;
  await fixture.work(id, { status: 'failed', error });
}
