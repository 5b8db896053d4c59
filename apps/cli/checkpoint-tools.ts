import { join } from 'node:path';
import {
  exportStream,
  exportToFile,
  inspectCheckpoint,
  verifyCheckpoint,
  type CheckpointKeys,
  type CheckpointName,
  type DiskFiles,
} from '@dormouse/checkpoint-tools';
import type { DormouseConfig } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';
import { parseLaunchSpec } from '@dormouse/qemu';
import { openBlobStore, type BlobStore } from '@dormouse/storage';
import { safeName } from '@dormouse/text';
import type { Command } from 'commander';
import { drawLast, showTraces, traceAsData, tracesOf } from './checkpoint-trace';
import { progressLine } from './progress-line';
import type { ProgramContext } from './program';
import { showCollected } from './show-collected';
import { showExported, showSummary, showVerified } from './show-checkpoint';

interface KeyOptions {
  /** False for `--no-keys`. */
  readonly keys: boolean;
}

/**
 * `checkpoint inspect`, `verify`, `export`, `trace` and `gc`: on a host, with the configuration of its worker. They read storage, disks and
 * keys themselves, so that what they say of a checkpoint does not depend on the processes that made it.
 */
export function addCheckpointTools(program: Command, context: ProgramContext): void {
  const checkpoint =
    program.commands.find((command) => command.name() === 'checkpoint') ??
    program.command('checkpoint').description('what is stored of a desktop: look into it, check it, take it elsewhere');
  const inJson = (): boolean => program.opts<{ json?: boolean }>().json === true;
  const show = (value: unknown, text: string): void => context.print(inJson() ? JSON.stringify(value) : text);

  checkpoint
    .command('inspect <desktop> [checkpoint]')
    .description('what a checkpoint is made of; the current one when none is named')
    .option('--no-keys', 'do without the keys: who wrote it is not checked')
    .action((desktopId: string, id: string | undefined, options: KeyOptions) =>
      withStore(context, async (store, config) => {
        const name = await nameOf(context, desktopId, id);
        const summary = await inspectCheckpoint(store, name, await keysOf(config, desktopId, options));
        show(summary, showSummary(summary));
      }),
    );

  checkpoint
    .command('verify <desktop> [checkpoint]')
    .description(
      'read all of a checkpoint and check it; the current one when none is named. Exit code 1: something is wrong',
    )
    .option('--no-keys', 'do without the keys: sizes and digests only')
    .action((desktopId: string, id: string | undefined, options: KeyOptions) =>
      withStore(context, async (store, config) => {
        const name = await nameOf(context, desktopId, id);
        const keys = await keysOf(config, desktopId, options);
        const diskFiles = keys === null ? null : await diskFilesOf(context, config, desktopId);
        const progress = progressLine();
        const report = await verifyCheckpoint({
          ...name,
          store,
          keys,
          diskFiles,
          onProgress: ({ step, done, total }) => progress.show(step, done, total),
        }).finally(() => progress.clear());
        show(report, showVerified(report));
        if (report.findings.length > 0) process.exitCode = 1;
      }),
    );

  checkpoint
    .command('export <desktop> [checkpoint]')
    .description(
      'write a checkpoint as a migration stream that QEMU loads by itself; the current one when none is named',
    )
    .requiredOption('-o, --output <file>', 'where to; `-` is the standard output')
    .action((desktopId: string, id: string | undefined, { output }: { output: string }) =>
      withStore(context, async (store, config) => {
        const name = await nameOf(context, desktopId, id);
        const keys = await keysOf(config, desktopId, { keys: true });
        const diskFiles = await diskFilesOf(context, config, desktopId);
        const progress = progressLine();
        const options = {
          ...name,
          store,
          keys: keys!,
          diskFiles,
          onProgress: ({ done, total }: { done: number; total: number }) => progress.show('pages', done, total),
        };
        const exported = await (
          output === '-' ? exportStream(options, toStandardOutput) : exportToFile(options, output)
        ).finally(() => progress.clear());
        const layers = layerFiles(diskFiles, exported.diskGeneration);
        if (output !== '-') show({ ...name, ...exported, output, layers }, showExported(output, exported, layers));
      }),
    );

  checkpoint
    .command('trace <desktop> [checkpoint]')
    .description('how each wake of a checkpoint went; of the current one when none is named')
    .option('--svg <file>', 'draw what the last of them asked for, over time and over memory')
    .action((desktopId: string, id: string | undefined, { svg }: { svg?: string }) =>
      withStore(context, async (store, config) => {
        const name = await nameOf(context, desktopId, id);
        const keys = await keysOf(config, desktopId, { keys: true });
        const found = await tracesOf(store, name, keys!);
        show({ ...name, pages: found.pages, traces: found.traces.map(traceAsData) }, showTraces(found.traces));
        if (svg !== undefined) await drawLast(svg, name, found);
      }),
    );

  checkpoint
    .command('gc [desktop]')
    .description(
      'remove what no checkpoint needs any more; workers do so by themselves. Exit code 1: something was left alone',
    )
    .option('--dry-run', 'remove nothing, and say what would be')
    .action((desktopId: string | undefined, { dryRun = false }: { dryRun?: boolean }) =>
      withStore(context, async (store, config) => {
        // eslint-disable-next-line @typescript-eslint/no-require-imports
        const { collectGarbage } = require('./collect-garbage') as typeof import('./collect-garbage');
        const progress = progressLine();
        const collected = await collectGarbage(config, store, {
          desktopId: desktopId ?? null,
          dryRun,
          onProgress: (what, done, total) => progress.show(what, done, total),
        }).finally(() => progress.clear());
        show(collected, showCollected(collected));
        if (collected.storage.failures.length + collected.layers.failures.length > 0) process.exitCode = 1;
      }),
    );
}

async function withStore(
  { loadConfig }: ProgramContext,
  work: (store: BlobStore, config: DormouseConfig) => Promise<void>,
): Promise<void> {
  const config = loadConfig();
  const store = await openBlobStore(config.storageUrl);
  try {
    await work(store, config);
  } finally {
    await store.close();
  }
}

/** @throws CHECKPOINT_UNKNOWN when the desktop has none */
async function nameOf(
  { openAccess }: ProgramContext,
  desktopId: string,
  id: string | undefined,
): Promise<CheckpointName> {
  if (id !== undefined) return { desktopId, checkpointId: id };
  const { checkpointId } = await (await openAccess()).client.desktop(desktopId);
  if (checkpointId !== null) return { desktopId, checkpointId };
  throw new DormouseError('CHECKPOINT_UNKNOWN', `${desktopId} has no checkpoint`, { desktopId });
}

async function keysOf(config: DormouseConfig, desktopId: string, { keys }: KeyOptions): Promise<CheckpointKeys | null> {
  if (!keys) return null;
  // The database's driver takes longer to load than most commands take.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { loadCheckpointKeys } = require('./checkpoint-keys') as typeof import('./checkpoint-keys');
  return loadCheckpointKeys(config, desktopId);
}

type HostDiskFiles = DiskFiles & { readonly disks: number };

/** The disk files of a desktop on this host: golden images as its launch spec names them, layers in its disk directory. */
async function diskFilesOf(
  { openAccess }: ProgramContext,
  { disksDir }: DormouseConfig,
  desktopId: string,
): Promise<HostDiskFiles> {
  const { launchSpec } = await (await openAccess()).client.desktop(desktopId);
  const images = parseLaunchSpec(launchSpec)
    .disks.filter(({ readOnly }) => !readOnly)
    .map(({ image }) => image);
  const file: DiskFiles = (source) => {
    const [owner, disk] = source.split('/');
    if (owner === 'image') return images[Number(disk)] ?? null;
    return join(disksDir, safeName(desktopId), `${owner}.${disk}.qcow2`);
  };
  return Object.assign(file, { disks: images.length });
}

/** What the exported memory needs to go on with. */
function layerFiles(files: HostDiskFiles, generation: string | null): string[] {
  if (generation === null) return [];
  return Array.from({ length: files.disks }, (_, disk) => files(`${generation}/${disk}`)!);
}

/** Resolves when there is room for more. @throws STORAGE_FAILED when nobody reads any more */
function toStandardOutput(chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => {
      if (!error) return resolve();
      reject(new DormouseError('STORAGE_FAILED', `writing the standard output failed: ${error.message}`));
    });
  });
}
