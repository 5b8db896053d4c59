import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiClient, sendWebhook, type WebhookMessage } from '@dormouse/api-client';
import { loadConfig, requireServices, type Environment } from '@dormouse/config';
import { startPostgres, startRedis, type EmbeddedPostgres, type EmbeddedRedis } from '@dormouse/embedded';
import { SessionLedger } from '@dormouse/ledger';
import type { OperationView } from '@dormouse/views';
import { createLogger, createMetrics } from '@dormouse/observability';
import { createDataSource } from '@dormouse/persistence';
import type { JsonObject } from '@dormouse/session';
import type { DataSource } from 'typeorm';
import { LiveKeys, startApi, type RunningApi } from '../../apps/api';
import { DescribedProblems } from './described-problems';

export const launchSpec: JsonObject = { machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: 256, disks: [] };

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly instance: string;
  readonly requestId: string;
  readonly problems?: readonly string[];
  readonly [detail: string]: unknown;
}

export interface AuditLine {
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly reason: string | null;
  readonly outcome: string;
  readonly details: JsonObject;
}

/** A running api on a Postgres and a Redis of its own. */
export class ApiFixture {
  private readonly problems: DescribedProblems;

  private constructor(
    readonly directory: string,
    readonly postgres: EmbeddedPostgres,
    readonly redis: EmbeddedRedis,
    readonly api: RunningApi,
    readonly keys: LiveKeys,
    readonly dataSource: DataSource,
    readonly ledger: SessionLedger,
  ) {
    this.problems = new DescribedProblems(api.url);
  }

  static async start(environment: Environment = {}): Promise<ApiFixture> {
    const directory = await mkdtemp(join(tmpdir(), 'dormouse-api-'));
    const log = () => {};
    const [postgres, redis] = await Promise.all([
      startPostgres({ directory, log, durable: false }),
      startRedis({ directory, log }),
    ]);
    const config = requireServices(
      loadConfig({
        DATA_DIR: directory,
        DATABASE_URL: postgres.url,
        REDIS_URL: redis.socketPath,
        API_PORT: '0',
        LOG_LEVEL: 'silent',
        ...environment,
      }),
    );
    const logger = createLogger('api', config);
    const keys = await LiveKeys.open(config, logger);
    keys.start();
    const api = await startApi(config, { keys, logger, metrics: createMetrics('api') });
    const dataSource = await createDataSource(postgres.url, { poolSize: 2 }).initialize();
    return new ApiFixture(directory, postgres, redis, api, keys, dataSource, new SessionLedger(dataSource));
  }

  async stop(): Promise<void> {
    await this.keys.stop();
    await this.api.close();
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
    await this.redis.stop();
    await this.postgres.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  get client(): ApiClient {
    return new ApiClient({ url: this.api.url, adminKey: this.keys.adminKey });
  }

  /** A request with the admin key; `headers` may take it away or replace it. @throws when it is refused in a way that is not described */
  async fetch(
    path: string,
    init: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const { method = 'GET', body, headers } = init;
    const response = await fetch(this.api.url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.keys.adminKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    if (!response.ok) await this.problems.check(method, path, response.clone());
    return response;
  }

  sendEvent(
    message: Partial<WebhookMessage> & Pick<WebhookMessage, 'type' | 'data'>,
    secret = this.keys.webhookSecrets[0]!,
  ) {
    return sendWebhook({ url: this.api.url, secret }, { source: 'test-broker', ...message });
  }

  async rows(table: string): Promise<number> {
    const [row] = await this.dataSource.query<{ count: number }[]>(`SELECT count(*)::int AS count FROM ${table}`);
    return row!.count;
  }

  /** How many rows each table has, but for the audit log. */
  async stored(): Promise<Record<string, number>> {
    const tables = [
      'desktops',
      'operations',
      'checkpoints',
      'disk_generations',
      'inbox_events',
      'outbox',
      'pools',
      'hosts',
    ];
    return Object.fromEntries(await Promise.all(tables.map(async (table) => [table, await this.rows(table)] as const)));
  }

  audit(): Promise<AuditLine[]> {
    return this.dataSource.query<AuditLine[]>(
      'SELECT actor, action, target, reason, outcome, details FROM audit_log ORDER BY id',
    );
  }

  async announceHost(): Promise<void> {
    await this.ledger.announceHost({ id: 'host-1', capabilities: {} });
  }

  /** Does what a worker does with the open operation of a desktop: takes it and ends it. */
  async work(desktopId: string, outcome: Parameters<SessionLedger['finish']>[1]): Promise<OperationView> {
    for (;;) {
      const desktop = await this.ledger.viewDesktop(desktopId).catch(() => null);
      const operation = desktop?.operation;
      if (!operation) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      const claimed = await this.ledger.claim(operation.id, operation.generation, 'worker-1', 60_000);
      if (claimed === null) continue;
      await this.ledger.finish(claimed.fence, outcome);
      return this.ledger.viewOperation(operation.id);
    }
  }

  /** A registered desktop that is off. */
  async registered(id: string): Promise<void> {
    await this.announceHost();
    const examined = this.work(id, { status: 'succeeded', desktop: { fingerprint: { machine: 'pc-q35-7.2' } } });
    await this.client.putDesktop(id, { launchSpec });
    await examined;
  }

  /** A registered desktop that runs. */
  async running(id: string): Promise<void> {
    await this.registered(id);
    await this.client.command(id, 'start', { reason: 'test' });
    await this.work(id, { status: 'succeeded', result: {} });
  }
}

/** Asserts that an answer is a problem of this code, in the shape of RFC 9457, and answers it. */
export async function problemOf(response: Response, code: string, status: number): Promise<Problem> {
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const problem = (await response.json()) as Problem;
  expect(problem).toMatchObject({
    type: `urn:dormouse:problem:${code.toLowerCase().replaceAll('_', '-')}`,
    title: expect.stringMatching(/\w/) as unknown,
    status,
    code,
    detail: expect.stringMatching(/\w/) as unknown,
    instance: new URL(response.url).pathname,
    requestId: response.headers.get('x-request-id'),
  });
  expect(response.status).toBe(status);
  expect(JSON.stringify(problem)).not.toMatch(/node_modules|\.ts:\d|\bat \w+ \(/);
  return problem;
}
