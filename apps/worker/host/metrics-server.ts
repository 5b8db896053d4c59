import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { DormouseError } from '@dormouse/errors';
import type { WorkerContext } from '../worker-context';

const usualPort = 7078;

export interface MetricsServerOptions {
  readonly host: string;
  /** Null: the usual one, or any that is free when another worker of this machine has it. */
  readonly port: number | null;
}

/**
 * `GET /metrics` of a worker, for Prometheus: what its process does, and what is open on its host. Open to whoever reaches it: it
 * tells numbers, and names no desktop.
 */
export class MetricsServer {
  private readonly server: Server;

  constructor(private readonly context: Pick<WorkerContext, 'hostId' | 'ledger' | 'logger' | 'metrics'>) {
    this.server = createServer((request, response) => {
      if (request.method !== 'GET' || request.url !== '/metrics') {
        response.writeHead(404, { 'content-type': 'text/plain' }).end('there is only GET /metrics\n');
        return;
      }
      this.text().then(
        (text) => response.writeHead(200, { 'content-type': this.context.metrics.registry.contentType }).end(text),
        (error: unknown) => {
          this.context.logger.error({ err: error }, 'the metrics could not be written');
          response.writeHead(500).end();
        },
      );
    });
  }

  /** @returns its address @throws CONFIG_INVALID when the configured port cannot be had */
  async start({ host, port }: MetricsServerOptions): Promise<string> {
    try {
      await this.listen(port ?? usualPort, host);
    } catch (cause) {
      if (port !== null) throw notThere({ host, port }, cause as Error);
      await this.listen(0, host).catch((error: Error) => Promise.reject(notThere({ host, port: 0 }, error)));
    }
    const address = this.server.address() as AddressInfo;
    return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}/metrics`;
  }

  async stop(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private async listen(port: number, host: string): Promise<void> {
    const listening = once(this.server, 'listening'); // rejects with the error, if there is one
    this.server.listen(port, host);
    await listening;
  }

  private async text(): Promise<string> {
    const { metrics, hostId, ledger, logger } = this.context;
    for (const gauge of [metrics.openOperations, metrics.slots, metrics.slotsUsed]) gauge.reset();
    try {
      const { operations, slots } = await ledger.loadOf(hostId);
      for (const { count, ...labels } of operations) metrics.openOperations.set(labels, count);
      for (const { slot, used, most } of slots) {
        metrics.slotsUsed.set({ slot }, used);
        if (most !== null) metrics.slots.set({ slot }, most);
      }
    } catch (error) {
      // What the process knows by itself is wanted most when the database is away.
      logger.warn({ err: error }, 'the metrics are without what is open on this host: the database does not answer');
    }
    return metrics.registry.metrics();
  }
}

function notThere({ host, port }: { host: string; port: number }, cause: Error): DormouseError {
  const variables = ['METRICS_HOST', 'METRICS_PORT'];
  const message = `cannot listen on ${host}:${port}: ${cause.message}. Set METRICS_HOST and METRICS_PORT to an address that is free.`;
  return new DormouseError('CONFIG_INVALID', message, { variables }, { cause });
}
