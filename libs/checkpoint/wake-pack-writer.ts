import { Encoder } from '@toondepauw/node-zstd';
import type { CheckpointSecrets } from './encryption';
import { noPage, pageBytes, segmentPages } from './layout';
import { arrangeWakeSet } from './arrange-wake-set';
import { encodeHead, type MachineState, type WakeOrder } from './wake-head';

/** Segments that are being compressed at once. */
const segmentsAtOnce = 4;

/** Each in parts, as they are stored. */
type Segments = readonly (readonly Buffer[])[];

const encoder = new Encoder(1);

/**
 * Encodes a wake pack: `docs/checkpoint-format.md`. Most of its content is compressed and encrypted while the guest still runs; what the
 * guest changes after that is encoded once more.
 */
export class WakePackWriter {
  private prepared: { readonly order: WakeOrder; readonly segments: Segments } | null = null;

  /**
   * @param contentOf the 4096 bytes of a page of the wake set
   * @param object its key
   */
  constructor(
    private readonly contentOf: (page: number) => Buffer,
    private readonly secrets: CheckpointSecrets,
    private readonly object: string,
  ) {}

  /** Encodes what will most likely be chosen. Once at most; no content may change meanwhile. */
  async prepare(order: WakeOrder): Promise<void> {
    this.prepared = { order, segments: this.encrypt(await this.compress(order.pages), 0) };
  }

  /**
   * The object as it is stored, in parts.
   * @param isAsPrepared whether a page has the content that it had when `prepare` was called
   */
  async encode(state: MachineState, chosen: WakeOrder, isAsPrepared: (page: number) => boolean): Promise<Buffer[]> {
    const { fresh, order } = arrangeWakeSet(chosen, this.prepared?.order ?? null, isAsPrepared);
    const [head, segments] = await Promise.all([
      encoder.encode(encodeHead({ ...state, ...order })),
      this.compress(fresh),
    ]);
    const prepared = this.prepared?.segments ?? [];
    const first = this.encrypt([head, ...segments], prepared.length);
    return [
      this.secrets.segmentsHeader('wakePack', first.length + prepared.length),
      ...first.flat(),
      ...prepared.flat(),
    ];
  }

  /** @param behind how many follow the last of these */
  private encrypt(segments: readonly Buffer[], behind: number): Segments {
    const { object } = this;
    return segments.map((segment, n) =>
      this.secrets.encryptSegment('wakePack', { behind: behind + segments.length - 1 - n, object }, segment),
    );
  }

  /**
   * Beside whatever else the loop has to do, a few segments at a time, in memory that is used again: to touch new memory would take
   * longer than to fill it.
   */
  private async compress(pages: Uint32Array): Promise<Buffer[]> {
    const compressed = new Array<Buffer>(Math.ceil(pages.length / segmentPages));
    let next = 0;
    const compressOnes = async (): Promise<void> => {
      const memory = Buffer.allocUnsafeSlow(segmentPages * pageBytes);
      while (next < compressed.length) {
        const segment = next++;
        let bytes = 0;
        for (const page of pages.subarray(segment * segmentPages, (segment + 1) * segmentPages)) {
          if (page === noPage) memory.fill(0, bytes, bytes + pageBytes);
          else this.contentOf(page).copy(memory, bytes);
          bytes += pageBytes;
        }
        compressed[segment] = await encoder.encode(memory.subarray(0, bytes));
      }
    };
    await Promise.all(Array.from({ length: Math.min(segmentsAtOnce, compressed.length) }, compressOnes));
    return compressed;
  }
}
