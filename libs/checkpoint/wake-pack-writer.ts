import { Encoder } from '@toondepauw/node-zstd';
import { arrangeWakeSet } from './arrange-wake-set';
import type { CheckpointSecrets } from './encryption';
import { noPage, pageBytes, segmentPages } from './layout';
import type { CheckpointKeys } from './object-keys';
import { encodeHead, type MachineState, type WakeOrder } from './wake-head';

/** Segments that are being compressed at once. */
const segmentsAtOnce = 4;

const encoder = new Encoder(1);

/**
 * Encodes the wake set: `docs/checkpoint-format.md`, wake pack and wake pages. Most of it is written while the guest still runs; what the
 * guest changes after that comes into the wake pack.
 */
export class WakePackWriter {
  private ahead: WakeOrder | null = null;

  /** @param contentOf the 4096 bytes of a page of the wake set */
  constructor(
    private readonly contentOf: (page: number) => Buffer,
    private readonly secrets: CheckpointSecrets,
    private readonly keys: Pick<CheckpointKeys, 'wakePack' | 'wakePages'>,
  ) {}

  /**
   * The wake pages as they are stored, in parts: what will most likely be chosen.
   * Once at most; no content may change meanwhile.
   */
  async encodeAhead(order: WakeOrder): Promise<Buffer[]> {
    this.ahead = order;
    return this.secrets.encryptSegments('wakePages', await this.compress(order.pages), this.keys.wakePages);
  }

  /**
   * The wake pack as it is stored, in parts.
   * @param isAsAhead whether a page has the content that it had in `encodeAhead`
   */
  async encode(state: MachineState, chosen: WakeOrder, isAsAhead: (page: number) => boolean): Promise<Buffer[]> {
    const { fresh, order } = arrangeWakeSet(chosen, this.ahead, isAsAhead);
    const [head, segments] = await Promise.all([
      encoder.encode(encodeHead({ ...state, ...order })),
      this.compress(fresh),
    ]);
    return this.secrets.encryptSegments('wakePack', [head, ...segments], this.keys.wakePack);
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
