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
import { drawLast, showTraces, traceAsData, tracesOf } from './checkpoint-trace';
import type { CommandContext, ProgramContext } from './command-context';
import { progressLine } from './progress-line';
import { showCollected } from './show-collected';
import { showExported, showSummary, showVerified } from './show-checkpoint';

export interface KeyOptions {
  /** False for `--no-keys`. */
  readonly keys: boolean;
}

export async function inspect(
  context: CommandContext,
  desktopId: string,
  id: string | undefined,
  options: KeyOptions,
): Promise<void> {
  await withStore(context, async (store, config) => {
    const name = await nameOf(context, desktopId, id);
    const summary = await inspectCheckpoint(store, name, await keysOf(config, desktopId, options));
    context.show({ value: summary, text: showSummary(summary) });
  });
}

export async function verify(
  context: CommandContext,
  desktopId: string,
  id: string | undefined,
  options: KeyOptions,
): Promise<void> {
  await withStore(context, async (store, config) => {
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
    context.show({ value: report, text: showVerified(report) });
    if (report.findings.length > 0) process.exitCode = 1;
  });
}

export async function exportCheckpoint(
  context: CommandContext,
  desktopId: string,
  id: string | undefined,
  { output }: { readonly output: string },
): Promise<void> {
  await withStore(context, async (store, config) => {
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
    if (output === '-') return;
    const layers = layerFiles(diskFiles, exported.diskGeneration);
    context.show({ value: { ...name, ...exported, output, layers }, text: showExported(output, exported, layers) });
  });
}

export async function trace(
  context: CommandContext,
  desktopId: string,
  id: string | undefined,
  { svg }: { readonly svg?: string },
): Promise<void> {
  await withStore(context, async (store, config) => {
    const name = await nameOf(context, desktopId, id);
    const keys = await keysOf(config, desktopId, { keys: true });
    const found = await tracesOf(store, name, keys!);
    const value = { ...name, pages: found.pages, traces: found.traces.map(traceAsData) };
    context.show({ value, text: showTraces(found.traces) });
    if (svg !== undefined) await drawLast(svg, name, found);
  });
}

export async function collect(
  context: CommandContext,
  desktopId: string | undefined,
  { dryRun = false }: { readonly dryRun?: boolean },
): Promise<void> {
  await withStore(context, async (store, config) => {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const { collectGarbage } = require('./collect-garbage') as typeof import('./collect-garbage');
    const progress = progressLine();
    const collected = await collectGarbage(config, store, {
      desktopId: desktopId ?? null,
      dryRun,
      onProgress: (what, done, total) => progress.show(what, done, total),
    }).finally(() => progress.clear());
    context.show({ value: collected, text: showCollected(collected) });
    if (collected.storage.failures.length + collected.layers.failures.length > 0) process.exitCode = 1;
  });
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
