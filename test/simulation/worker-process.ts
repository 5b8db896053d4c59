/** A process with the workers of several simulated hosts: `SIMULATION` says which, as JSON. */
import { join } from 'node:path';
import { loadConfig, requireServices } from '@dormouse/config';
import { createLogger, createMetrics } from '@dormouse/observability';
import { stopPatienceMs, untilStopped } from '@dormouse/process';
import { SimulatedHypervisor } from '@dormouse/simulation';
import { startWorker } from '../../apps/worker';

export interface SimulatedHosts {
  /** The world of all simulated hosts. */
  readonly root: string;
  readonly hosts: readonly string[];
  readonly memoryMiB: number;
  readonly speed: number;
  /** How many of the steps that can fail do. */
  readonly failureRate: number;
}

/** Of a few hosts each: sixteen workers in all must not use up the connections of a small Postgres. */
const poolSize = 5;

async function main({ root, hosts, memoryMiB, speed, failureRate }: SimulatedHosts): Promise<void> {
  const stopped = untilStopped();
  const workers = await Promise.all(
    hosts.map((hostId) => {
      const environment = { ...process.env, HOST_ID: hostId, DATA_DIR: join(root, 'hosts', hostId) };
      const config = requireServices(loadConfig(environment));
      const fails = (): boolean => Math.random() < failureRate;
      const drive = () => new SimulatedHypervisor({ root, hostId, memoryMiB, speed, fails });
      return startWorker(config, createLogger('worker', config), createMetrics('worker'), { drive, poolSize });
    }),
  );
  process.send?.({ ready: true });
  const why = await stopped;
  setTimeout(() => process.exit(1), stopPatienceMs(why)).unref();
  await Promise.all(workers.map((worker) => worker.stop()));
}

main(JSON.parse(process.env['SIMULATION'] ?? '{}') as SimulatedHosts).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`simulated workers: ${(error as Error).stack}\n`);
    process.exit(1);
  },
);
