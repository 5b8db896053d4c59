/** `npm run bench -- NAME [options]`: figures on real parts, medians and spread. */
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { unlessAborted } from '@dormouse/process';
import { defaultGuestCache, ensureGuestImage } from '../guest';
import { endAllOf } from '../scenario';
import { measureBatches } from './batches';
import { measureCli } from './cli';
import { measureEvents } from './events';
import type { Figure } from './figure';
import { measureHangs } from './hangs';
import { measureIndex } from './index-image';
import { measureKills } from './kills';
import { measureMainJob } from './main-job';
import { measurePlans } from './plans';
import { measureSave } from './save';
import { measureSize } from './size';
import { measureStorm } from './storm';
import { profiles, type Profile } from './profile';
import { measureWake } from './wake';

const usage = `usage: npm run bench -- main-job | size | save | index | wake | batches | kills | hangs | events | storm | plans | cli
                      [--runs N] [--memory MiB]
                      [--fill MiB] [--image GiB] [--profile local|net] [--desktops N] [--users N]
                      [--pace N] [--part sleepers|day] [--json]
  main-job  the small guest, --fill MiB of its memory filled: answer after waking, beside QEMU's own eager restore
  size      the desktop guest, used: bytes of its first and its second checkpoint, and where they come from
  save      the desktop guest, used: from its user leaving to a durable checkpoint, beside QEMU's own migration of the
            same state, to the disk and over a link of 125 MB/s and 5 ms a request; --image GiB makes the golden image
            as large as that
  wake      the desktop guest, used, a program holding --fill MiB of documents (2048 with 4096 MiB of memory or more, else
            none): answers after a cold boot, after QEMU's eager restore and from its mapped-ram file, after Dormouse's first
            and third wake; from the disk and over the link
  batches   the small guest, --fill MiB of its memory filled: working and resting while its memory comes, in fixed small batches,
            in fixed large ones, and in such as adapt; from the disk, or with --profile net over the link
  kills     --runs N desktops of the small guest, --fill MiB of their memory filled: each woken, and its pager killed at a
            random moment
  hangs     the small guest: every neighbour of an operation (its QEMU, its pager, worker, api, Postgres, Redis, storage) stopped
            at each moment of save, restore, boot and stop; --part TEXT only those whose name, "NEIGHBOUR at MOMENT", holds it
  index     the index of a golden image of --image GiB (10), beside openssl hashing it
  events    webhooks a second, verified, decided and durable, beside a bare handler that does one INSERT
  storm     --desktops N (10000) on 20 simulated hosts: what those that sleep cost, all of them left at once, and a working
            day of --users N (all) of them, --pace N (14) logins a second in the morning; or one --part of this
  plans     decisions a second when a desktop is put away, by the README's policy, and how long one takes by the largest policy
  cli       what a call of the command line costs above a bare Node, and how long the list of --desktops N (6000) takes`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string' },
    memory: { type: 'string' },
    fill: { type: 'string' },
    image: { type: 'string' },
    profile: { type: 'string' },
    desktops: { type: 'string' },
    users: { type: 'string' },
    pace: { type: 'string', default: '14' },
    part: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** A desktop of this much memory is woken with documents open: half of it. */
const largeMiB = 4096;

/** What every benchmark is told. */
export interface BenchOptions {
  readonly dataDir: string;
  readonly memoryMiB: number;
  readonly runs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** What a benchmark found: figures, and what goes with them into its JSON as it is. */
interface Outcome {
  readonly figures: readonly Figure[];
  readonly more?: Readonly<Record<string, unknown>>;
}

const benchmarks: Readonly<
  Record<string, { runs: number; memoryMiB?: number; measure: (options: BenchOptions) => Promise<Outcome> }>
> = {
  'main-job': {
    runs: 5,
    measure: async ({ runs, ...options }) => {
      const image = await ensureGuestImage(defaultGuestCache(), say);
      return { figures: await measureMainJob({ ...options, image, fillMiB: Number(values.fill ?? 400) }, runs) };
    },
  },
  size: {
    runs: 3,
    measure: async (options) => {
      const image = await ensureGuestImage(defaultGuestCache(), say, 'desktop');
      const { figures, split } = await measureSize({ ...options, image });
      const [first, second] = split;
      say('where the bytes of the memory went, MiB:   first save   second save');
      for (const name of Object.keys(first) as (keyof typeof first)[])
        say(`  ${name.padEnd(40)} ${mebibytes(first[name])} ${mebibytes(second[name])}`);
      return { figures, more: { split: first, secondSplit: second } };
    },
  },
  save: {
    runs: 3,
    measure: async (options) => {
      const image = await ensureGuestImage(defaultGuestCache(), say, 'desktop');
      const sizes = { fillMiB: Number(values.fill ?? 0), imageGiB: Number(values.image ?? 0) };
      return { figures: await measureSave({ ...options, ...sizes, image }) };
    },
  },
  wake: {
    runs: 5,
    measure: async (options) => {
      const image = await ensureGuestImage(defaultGuestCache(), say, 'desktop');
      const wanted = wantedProfiles();
      const fillMiB = Number(values.fill ?? (options.memoryMiB >= largeMiB ? largeMiB / 2 : 0));
      return measureWake({ ...options, image, fillMiB, profiles: wanted });
    },
  },
  kills: {
    runs: 20,
    memoryMiB: 256,
    measure: async (options) => {
      const image = await ensureGuestImage(defaultGuestCache(), say);
      return measureKills({ ...options, image, fillMiB: Number(values.fill ?? 96) });
    },
  },
  hangs: {
    runs: 1,
    memoryMiB: 128,
    measure: async (options) => {
      const image = await ensureGuestImage(defaultGuestCache(), say);
      return measureHangs({ ...options, image, part: values.part ?? '' });
    },
  },
  batches: {
    runs: 3,
    measure: async (options) => {
      const image = await ensureGuestImage(defaultGuestCache(), say);
      const [profile] = wantedProfiles();
      return measureBatches({ ...options, image, fillMiB: Number(values.fill ?? 600), profile: profile! });
    },
  },
  events: {
    runs: 3,
    measure: async (options) => ({ figures: await measureEvents(options) }),
  },
  plans: {
    runs: 5,
    measure: (options) => Promise.resolve({ figures: measurePlans(options) }),
  },
  cli: {
    runs: 5,
    measure: async (options) => ({
      figures: await measureCli({ ...options, desktops: Number(values.desktops ?? 6_000) }),
    }),
  },
  storm: {
    runs: 3,
    measure: (options) => {
      const desktops = Number(values.desktops ?? 10_000);
      const part = (['sleepers', 'day'] as const).find((one) => one === values.part) ?? null;
      return measureStorm({
        ...options,
        desktops,
        users: Number(values.users ?? desktops),
        pace: Number(values.pace),
        part,
      });
    },
  },
  index: {
    runs: 3,
    measure: async (options) => {
      const image = await ensureGuestImage(defaultGuestCache(), say, 'desktop');
      return { figures: await measureIndex({ ...options, image, imageGiB: Number(values.image ?? 10) }) };
    },
  },
};

/** `--profile`, or all of them. */
function wantedProfiles(): readonly Profile[] {
  const wanted = values.profile === undefined ? profiles : profiles.filter((profile) => profile === values.profile);
  if (wanted.length === 0) throw new Error(usage);
  return wanted;
}

async function main(): Promise<void> {
  const [name = '', ...others] = positionals;
  const benchmark = benchmarks[name];
  if (benchmark === undefined || others.length > 0) throw new Error(usage);
  const runs = Number(values.runs ?? benchmark.runs);
  const memoryMiB = Number(values.memory ?? benchmark.memoryMiB ?? 1024);
  if (!(Number.isSafeInteger(runs) && runs > 0 && Number.isSafeInteger(memoryMiB))) throw new Error(usage);
  const dataDir = join(resolve(process.env['DATA_DIR'] ?? '.dormouse'), `bench-${process.pid}`);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  const { signal } = stop;
  const measured = benchmark.measure({ dataDir, memoryMiB, runs, signal, say });
  const { figures, more = {} } = await leavingNothing(dataDir, measured, signal);
  for (const { name, median, least, most, count, unit } of figures) {
    say(`${name.padEnd(24)} ${String(median).padStart(12)} ${unit.padEnd(5)} (${least} … ${most}, of ${count})`);
  }
  if (values.json) {
    const medians = Object.fromEntries(figures.map(({ name, median }) => [name, median]));
    process.stdout.write(`${JSON.stringify({ ...medians, ...more })}\n`);
  }
}

/** However the work ends, no machine runs on that it has started in the directory; which stays when it failed, to say why. */
async function leavingNothing<T>(dataDir: string, work: Promise<T>, signal: AbortSignal): Promise<T> {
  let failed = true;
  try {
    const result = await unlessAborted(work, signal);
    failed = false;
    return result;
  } finally {
    if (signal.aborted) process.on('unhandledRejection', () => undefined); // the work under way loses all it speaks to
    await endAllOf(dataDir);
    if (!failed || signal.aborted) await rm(dataDir, { recursive: true, force: true });
  }
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1).padStart(12);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`the benchmark failed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
