import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** Writes lines until its reader is gone, and a few more; then ends as one that is well. */
const program = `
  const { createLogger } = require(${JSON.stringify(join(__dirname, '../../dist/libs/observability/index.js'))});
  const { bearLostOutput } = require(${JSON.stringify(join(__dirname, '../../dist/libs/process/index.js'))});
  bearLostOutput();
  const logger = createLogger('test', { logLevel: 'info', logFormat: process.env.LOG_FORMAT });
  process.on('SIGUSR2', () => {
    for (let n = 0; n < 20; n += 1) { logger.info('nobody reads this'); process.stdout.write('nor this'); process.stderr.write('nor that'); }
    setTimeout(() => process.exit(7), 100);
  });
  setInterval(() => undefined, 1_000);
  logger.info('first');
`;

test.each(['json', 'pretty'])('%s lines to a pipe that was closed end no process', async (format) => {
  const child = spawn(process.execPath, ['-e', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LOG_FORMAT: format },
  });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  child.stderr.destroy();
  child.kill('SIGUSR2');
  expect(await once(child, 'exit')).toEqual([7, null]);
});
