import type { SessionLedger } from '@dormouse/ledger';
import type { Metrics } from '@dormouse/observability';
import { Controller, Get, Header, Inject, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { DataSource } from 'typeorm';
import { tokens, type ApiDependencies } from '../dependencies';
import { assertWritable } from './assert-writable';
import { hostChecks } from './host-checks';
import { onceIn } from './once-in';
import { outboxLagSeconds } from './outbox-lag';
import { Describe } from '../openapi';
import { readiness, readinessView, type Readiness } from './readiness';
import { silentBrokers } from './silent-brokers';

const patienceMs = 1_000;
/** For so long an answer is good for everybody: whoever asks need not say who it is. */
const answeredAnewMs = 100;
/** Hosts announce themselves every few seconds. */
const hostsAnewMs = 1_000;
const unknown = { state: 'down', reason: 'not known while Postgres does not answer' } as const;
const notKnown = { storage: unknown, hosts: unknown };
const figures = { up: 1, degraded: 0.5, down: 0 } as const;

@ApiTags('health')
@Controller()
export class HealthController {
  constructor(
    @Inject(tokens.ledger) private readonly ledger: Pick<SessionLedger, 'listHosts'>,
    @Inject(tokens.dataSource) private readonly dataSource: DataSource,
    @Inject(tokens.pingRedis) private readonly pingRedis: ApiDependencies['pingRedis'],
    @Inject(tokens.metrics) private readonly metrics: Metrics,
  ) {}

  private readonly needed = onceIn(answeredAnewMs, () =>
    readiness({ postgres: () => assertWritable(this.dataSource), redis: this.pingRedis }, patienceMs),
  );

  private readonly hosts = onceIn(hostsAnewMs, async () => {
    try {
      return hostChecks(await this.ledger.listHosts());
    } catch {
      return notKnown; // `postgres` says why
    }
  });

  private readonly text = onceIn(answeredAnewMs, async () => {
    this.metrics.outboxLagSeconds.set(await outboxLagSeconds(this.dataSource));
    this.metrics.silentBrokers.set(await silentBrokers(this.dataSource));
    const { checks } = await this.readiness();
    for (const [check, { state }] of Object.entries(checks)) this.metrics.checks.set({ check }, figures[state]);
    return this.metrics.registry.metrics();
  });

  @Get('healthz')
  @ApiOperation({ operationId: 'isAlive', summary: 'The process is alive' })
  alive(): { status: 'alive' } {
    return { status: 'alive' };
  }

  @Get('readyz')
  @Describe('isReady', 'The process can do its work: what it needs, by name', {
    description: '`storage` and `hosts` may be degraded or down while it is ready: webhooks are taken all the same.',
    answers: {
      200: { description: 'Postgres and Redis answer', schema: readinessView },
      503: { description: 'Postgres or Redis does not answer', schema: readinessView },
    },
  })
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<Readiness> {
    const answer = await this.readiness();
    if (answer.status !== 'ready') void reply.status(503);
    return answer;
  }

  private async readiness(): Promise<Readiness> {
    const { status, checks } = await this.needed();
    const hosts = checks['postgres']?.state === 'up' ? await this.hosts() : notKnown;
    return { status, checks: { ...checks, ...hosts } };
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  @ApiOperation({ operationId: 'getMetrics', summary: 'Prometheus metrics' })
  async metricsText(): Promise<string> {
    return this.text();
  }
}
