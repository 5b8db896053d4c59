import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ApiFixture } from './api-fixture';

const workerProgram = join(__dirname, '../../dist/apps/worker/main.js');

/** A worker beside an api, with a data directory of its own. `said` are its lines to stderr. */
export function startWorkerBeside(fixture: ApiFixture, environment: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [workerProgram], {
    env: {
      PATH: process.env['PATH'],
      DATA_DIR: join(fixture.directory, 'worker'),
      DATABASE_URL: fixture.postgres.url,
      REDIS_URL: fixture.redis.socketPath,
      HOST_ID: 'host-2',
      ACCEL: 'tcg',
      LOG_FORMAT: 'json',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  createInterface(child.stderr).on('line', (line) => said.push(line));
  return { child, lines: createInterface(child.stdout), said };
}
