import { basename } from 'node:path';
import { HashThreads } from '@dormouse/checkpoint';
import { buildContentIndex, ContentIndex, contentIndexFile, type BuildProgress } from '@dormouse/content-index';
import { isDormouseError } from '@dormouse/errors';
import type { KeyRing } from '@dormouse/keys';
import type { Logger } from '@dormouse/observability';

const progressEveryMs = 5_000;

/**
 * Sees to it that the golden images of this host's desktops have an index of their content: one image after the other,
 * beside everything else. A save that comes first goes without.
 */
export class ImageIndexer {
  private readonly wanted = new Set<string>();
  private readonly stopping = new AbortController();
  private working: Promise<void> = Promise.resolve();

  constructor(
    private readonly diskRoot: string,
    private readonly keys: KeyRing,
    private readonly logger: Logger,
  ) {}

  /** An image that desktops of this host are made of. */
  want(image: string): void {
    if (this.wanted.has(image)) return;
    this.wanted.add(image);
    this.working = this.working.then(() => this.see(image));
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.working;
  }

  private async see(image: string): Promise<void> {
    try {
      await this.index(image);
    } catch (error) {
      if (isDormouseError(error, 'CANCELLED')) return;
      this.logger.warn(
        { err: error, image },
        `${basename(image)} could not be indexed: saves store more than they need`,
      );
    } finally {
      this.wanted.delete(image); // looked at again when the next desktop is registered
    }
  }

  private async index(image: string): Promise<void> {
    if (this.stopping.signal.aborted) return;
    const contentKey = await this.keys.contentKey();
    const indexFile = await contentIndexFile(this.diskRoot, image);
    if ((await this.existing(indexFile, { image, contentKey })) !== null) return;
    const hasher = new HashThreads(contentKey);
    const startedMs = performance.now();
    let toldMs = startedMs;
    let totalBytes = 0;
    const onProgress = (progress: BuildProgress): void => {
      totalBytes = progress.totalBytes;
      if (performance.now() - toldMs < progressEveryMs) return;
      toldMs = performance.now();
      this.logger.info(
        { image, ...progress },
        `indexing ${basename(image)}: ${describe(progress, toldMs - startedMs)}`,
      );
    };
    try {
      const signal = this.stopping.signal;
      const { entries } = await buildContentIndex({ image, indexFile, contentKey, hasher, onProgress, signal });
      const about = describe({ readBytes: totalBytes, totalBytes }, performance.now() - startedMs);
      this.logger.info({ image, entries }, `${basename(image)} is indexed: ${about}`);
    } finally {
      await hasher.close();
    }
  }

  /** A damaged one is no loss: it is made anew. */
  private async existing(file: string, about: Parameters<typeof ContentIndex.load>[1]): Promise<ContentIndex | null> {
    try {
      return await ContentIndex.load(file, about);
    } catch (error) {
      if (!isDormouseError(error, 'CONTENT_INDEX_CORRUPT')) throw error;
      this.logger.warn({ err: error }, 'the index of an image is damaged and is made anew');
      return null;
    }
  }
}

function describe({ readBytes, totalBytes }: BuildProgress, ms: number): string {
  const percent = totalBytes === 0 ? 100 : Math.round((100 * readBytes) / totalBytes);
  const speed = Math.round(readBytes / 1_000 / Math.max(ms, 1));
  return `${percent} % of ${(totalBytes / 2 ** 30).toFixed(1)} GiB, ${speed} MB/s`;
}
