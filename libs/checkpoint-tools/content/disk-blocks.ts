import { open, type FileHandle } from 'node:fs/promises';
import type { DormouseError } from '@dormouse/errors';
import { damage } from '../damage';
import { pageBytes } from '../format';
import type { Manifest } from '../parse/manifest';
import type { Report } from '../report';

/** The file of a disk source, or null when there is no such file here. */
export type DiskFiles = (source: string) => string | null;

type DiskSource = Manifest['diskSources'][number];

/** What points to disk blocks, numbered from 0. */
export interface BlockUsers {
  readonly count: number;
  readonly isGood: (n: number) => boolean;
  /** Index into the manifest's disk sources. */
  readonly source: (n: number) => number;
  readonly block: (n: number) => number;
}

/** Neighbouring blocks that are read together. */
const blocksAtOnce = 256;

/**
 * Hands out the disk block of every good user, `visit(n, content, offset)`: source by source, by ascending blocks, each read
 * once. A file that is missing, too short or does not answer is reported, and what is there of it handed out all the same.
 */
export async function forEachBlock(
  files: DiskFiles,
  sources: readonly DiskSource[],
  users: BlockUsers,
  report: Report,
  visit: (n: number, content: Buffer, offset: number) => void | Promise<void>,
): Promise<void> {
  for (const [index, order] of usersBySource(sources.length, users).entries()) {
    if (order.length === 0) continue;
    const source = sources[index]!;
    try {
      await readSource(files, source, order, users.block, report, visit);
    } catch (error) {
      if (!(error instanceof SourceUnreadable)) throw error;
      report(missing(source.name, error.message, error.cause));
    }
  }
}

/** The good users of each source by ascending block. */
function usersBySource(sources: number, { count, isGood, source, block }: BlockUsers): Uint32Array[] {
  const counts = new Uint32Array(sources);
  for (let n = 0; n < count; n++) if (isGood(n)) counts[source(n)]!++;
  const orders = [...counts].map((some) => new Uint32Array(some));
  const next = new Uint32Array(sources);
  for (let n = 0; n < count; n++) if (isGood(n)) orders[source(n)]![next[source(n)]!++] = n;
  for (const order of orders) order.sort((one, other) => block(one) - block(other));
  return orders;
}

async function readSource(
  files: DiskFiles,
  { name, blocks }: DiskSource,
  order: Uint32Array,
  block: (n: number) => number,
  report: Report,
  visit: (n: number, content: Buffer, offset: number) => void | Promise<void>,
): Promise<void> {
  const file = await openSource(files, name);
  try {
    const there = Math.floor((await file.stat()).size / pageBytes);
    if (there < blocks) report(missing(name, `has ${there} blocks of 4096 bytes, not ${blocks}`));
    const end = order.findIndex((n) => block(n) >= there);
    const readable = end < 0 ? order : order.subarray(0, end);
    for (let at = 0; at < readable.length;) {
      const beyond = endOfRun(readable, at, block);
      const first = block(readable[at]!);
      const content = await readBlocks(file, first, block(readable[beyond - 1]!) - first + 1);
      for (; at < beyond; at++) await visit(readable[at]!, content, (block(readable[at]!) - first) * pageBytes);
    }
  } finally {
    await file.close();
  }
}

/** Where the blocks from `at` on stop being neighbours, or enough. */
function endOfRun(order: Uint32Array, at: number, block: (n: number) => number): number {
  const first = block(order[at]!);
  let last = first;
  let beyond = at + 1;
  for (; beyond < order.length; beyond++) {
    const next = block(order[beyond]!);
    if (next - last > 1 || next - first >= blocksAtOnce) break;
    last = next;
  }
  return beyond;
}

/** Why a file could not be opened or read. */
class SourceUnreadable extends Error {}

async function openSource(files: DiskFiles, name: string): Promise<FileHandle> {
  const path = files(name);
  if (path === null) throw new SourceUnreadable('is none of the disks of this desktop');
  try {
    return await open(path, 'r');
  } catch (cause) {
    throw new SourceUnreadable(`cannot be opened: ${(cause as Error).message}`, { cause });
  }
}

async function readBlocks(file: FileHandle, first: number, count: number): Promise<Buffer> {
  const content = Buffer.allocUnsafeSlow(count * pageBytes);
  try {
    for (let done = 0; done < content.length;) {
      const { bytesRead } = await file.read(content, done, content.length - done, first * pageBytes + done);
      if (bytesRead === 0) throw new Error('the file became shorter meanwhile');
      done += bytesRead;
    }
    return content;
  } catch (cause) {
    const { message } = cause as Error;
    throw new SourceUnreadable(`cannot be read, ${count} blocks from ${first}: ${message}`, { cause });
  }
}

function missing(source: string, what: string, cause?: unknown): DormouseError {
  return damage('DISK_SOURCE_MISSING', source, what, {}, cause);
}

/** The error for a block that is no longer what the checkpoint took it for. */
export function changedBlock(source: string, block: number, page: number): DormouseError {
  const what = `block ${block} has changed since the checkpoint was made; page ${page} stands there`;
  return damage('DISK_SOURCE_CHANGED', source, what, { offset: block * pageBytes, page });
}
