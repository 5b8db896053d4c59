import type { Metrics } from '@dormouse/observability';
import { Controller, Get, Header, Inject, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { DataSource } from 'typeorm';
import { tokens, type ApiDependencies } from '../dependencies';
import { assertWritable } from './assert-writable';
import { onceIn } from './once-in';
import { outboxLagSeconds } from './outbox-lag';
import { readiness, type Readiness } from './readiness';
import { silentBrokers } from './silent-brokers';

const patienceMs = 1_000;
/** For so long an answer is good for everybody: whoever asks need not say who it is. */
const answeredAnewMs = 100;

@ApiTags('health')
@Controller()
export class HealthController {
  constructor(
    @Inject(tokens.dataSource) private readonly dataSource: DataSource,
    @Inject(tokens.pingRedis) private readonly pingRedis: ApiDependencies['pingRedis'],
    @Inject(tokens.metrics) private readonly metrics: Metrics,
  ) {}

  private readonly readiness = onceIn(answeredAnewMs, () =>
    readiness({ postgres: () => assertWritable(this.dataSource), redis: this.pingRedis }, patienceMs),
  );

  private readonly text = onceIn(answeredAnewMs, async () => {
    this.metrics.outboxLagSeconds.set(await outboxLagSeconds(this.dataSource));
    this.metrics.silentBrokers.set(await silentBrokers(this.dataSource));
    return this.metrics.registry.metrics();
  });

  @Get('healthz')
  @ApiOperation({ operationId: 'isAlive', summary: 'The process is alive' })
  alive(): { status: 'alive' } {
    return { status: 'alive' };
  }

  @Get('readyz')
  @ApiOperation({ operationId: 'isReady', summary: 'The process can do its work: every service it needs, by name' })
  @ApiResponse({ status: 200, description: 'Every service answers' })
  @ApiResponse({ status: 503, description: 'A service does not answer' })
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<Readiness> {
    const answer = await this.readiness();
    if (answer.status !== 'ready') void reply.status(503);
    return answer;
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  @ApiOperation({ operationId: 'getMetrics', summary: 'Prometheus metrics' })
  async metricsText(): Promise<string> {
    return this.text();
  }
}
