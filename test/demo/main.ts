/** `npm run demo`: the main job on real parts, told as it goes, with a table at the end (`--json`: a line of JSON). */
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { defaultGuestCache, ensureGuestImage } from '../guest';
import { runMainJob } from '../scenario';
import { table } from './table';

const memoryMiB = 1024;
const fillMiB = 400;

async function main(): Promise<boolean> {
  const json = process.argv.includes('--json');
  const startedMs = performance.now();
  const say = (step: string): void => {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(6);
    process.stderr.write(`${seconds} s  ${step}\n`);
  };
  const image = await ensureGuestImage(defaultGuestCache(), say);
  const dataDir = join(resolve(process.env['DATA_DIR'] ?? '.dormouse'), `demo-${process.pid}`);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  const report = await runMainJob({ dataDir, image, memoryMiB, fillMiB, say, signal: stop.signal });
  await rm(dataDir, { recursive: true, force: true }); // kept when something failed: its log says what
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : table(report));
  return (
    report.nonceSame && report.memorySame && report.memoryFreed && report.cancelledInGrace && report.cancelledInCapture
  );
}

main().then(
  (good) => process.exit(good ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`the demo failed: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  },
);
