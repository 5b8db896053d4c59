import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HashThreads } from '@dormouse/checkpoint';
import { buildContentIndex } from '@dormouse/content-index';
import type { GuestImage } from '../guest';
import { dropPageCache } from '../scenario';
import { figure, type Figure } from './figure';
import { enlargeImage } from './large-image';

const run = promisify(execFile);

export interface IndexOptions {
  readonly dataDir: string;
  readonly image: GuestImage;
  readonly imageGiB: number;
  readonly runs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** Indexes a golden image from a cold page cache, each time beside `openssl`, which reads and hashes it and no more. */
export async function measureIndex({ dataDir, image, imageGiB, runs, signal, say }: IndexOptions): Promise<Figure[]> {
  await mkdir(dataDir, { recursive: true });
  const file = join(dataDir, 'large.img');
  await enlargeImage(image.goldenImage, file, imageGiB);
  const { size: bytes } = await stat(file);
  const contentKey = randomBytes(32);
  const measured: { indexMs: number; opensslMs: number }[] = [];
  while (measured.length < runs) {
    signal.throwIfAborted();
    await dropPageCache([file]);
    const opensslMs = await timed(() => run('openssl', ['dgst', '-sha256', file]));
    await dropPageCache([file]);
    const hasher = new HashThreads(contentKey);
    const indexFile = join(dataDir, 'large.index');
    const indexMs = await timed(() =>
      buildContentIndex({ image: file, indexFile, contentKey, hasher, onProgress: () => undefined, signal }),
    );
    await hasher.close();
    measured.push({ indexMs, opensslMs });
    say(
      `run ${measured.length}: indexed in ${Math.round(indexMs)} ms, hashed by openssl in ${Math.round(opensslMs)} ms`,
    );
  }
  await rm(file);
  const of = (name: string, unit: string, value: (one: (typeof measured)[number]) => number, digits = 0): Figure =>
    figure(name, unit, measured.map(value), digits);
  return [
    of('imageBytes', 'B', () => bytes),
    of('indexMs', 'ms', ({ indexMs }) => indexMs),
    of('opensslMs', 'ms', ({ opensslMs }) => opensslMs),
    of('indexToOpenssl', '', ({ indexMs, opensslMs }) => indexMs / opensslMs, 2),
    of('indexMBPerSecond', 'MB/s', ({ indexMs }) => bytes / 1_000 / indexMs),
  ];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}
