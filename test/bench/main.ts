/** `npm run bench -- NAME [--runs N] [--memory MiB] [--fill MiB] [--json]`: figures on real parts, medians and spread. */
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultGuestCache, ensureGuestImage } from '../guest';
import { measureMainJob } from './main-job';

const usage = 'usage: npm run bench -- main-job [--runs 5] [--memory 1024] [--fill 400] [--json]';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '5' },
      memory: { type: 'string', default: '1024' },
      fill: { type: 'string', default: '400' },
      json: { type: 'boolean', default: false },
    },
  });
  if (positionals.length !== 1 || positionals[0] !== 'main-job') throw new Error(usage);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const dataDir = join(resolve(process.env['DATA_DIR'] ?? '.dormouse'), `bench-${process.pid}`);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  const image = await ensureGuestImage(defaultGuestCache(), say);
  const runs = Number(values.runs);
  const figures = await measureMainJob(
    { dataDir, image, memoryMiB: Number(values.memory), fillMiB: Number(values.fill), signal: stop.signal, say },
    runs,
  );
  await rm(dataDir, { recursive: true, force: true });
  for (const { name, median, least, most, unit } of figures) {
    say(`${name.padEnd(24)} ${String(median).padStart(8)} ${unit.padEnd(5)} (${least} … ${most}, ${runs} runs)`);
  }
  if (values.json)
    process.stdout.write(`${JSON.stringify(Object.fromEntries(figures.map(({ name, median }) => [name, median])))}\n`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`the benchmark failed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
