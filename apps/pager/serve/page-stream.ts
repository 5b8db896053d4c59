import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { framePages, pageBytes } from '@dormouse/checkpoint';
import { RamPart } from '@dormouse/migration-stream';
import type { GuestMemory } from './guest-memory';

/**
 * Of what nobody asked for, on its way to the kernel while the guest runs: a page that is asked for waits behind no more. The kernel
 * holds enough besides to keep QEMU busy: more than this only adds to the waits (docs/benchmarks.md).
 */
const mostBytesUnasked = 64 * 1024;
const zeroPage = Buffer.alloc(pageBytes);
/** Of a part: a page's head and the name of its block take far less. */
const pageRoomBytes = pageBytes + 64;
/** Whatever a part is begun for it has room for a frame, so that its memory does for another. */
const leastPartPages = framePages;
/** Memory of so many parts that have gone is used again. Few are on their way at a time, and new memory takes longer to touch than to fill. */
const mostSpares = 8;

/** Pages on their way to QEMU. None is sent twice: QEMU would refuse the second. */
export class PageStream {
  private readonly sent: Uint8Array;
  private count = 0;
  private readonly spares: Buffer[] = [];

  constructor(
    private readonly memory: GuestMemory,
    private readonly socket: Writable,
  ) {
    this.sent = new Uint8Array(memory.pages);
  }

  get sentPages(): number {
    return this.count;
  }

  isSent(page: number): boolean {
    return this.sent[page] !== 0;
  }

  /** QEMU has it from somebody else. */
  markSent(page: number): void {
    if (this.sent[page] === 0) this.count++;
    this.sent[page] = 1;
  }

  /** A part for so many pages, of which those count as sent that are added. */
  begin(pages: number): RamPart {
    const bytes = Math.max(pages, leastPartPages) * pageRoomBytes;
    const last = this.spares.at(-1);
    return new RamPart(last !== undefined && last.length >= bytes ? this.spares.pop()! : Buffer.allocUnsafeSlow(bytes));
  }

  /** Null for a page of zeros; else 4096 bytes of `content` from `at`, which may be zeros as well. */
  add(part: RamPart, page: number, content: Buffer | null, at: number): void {
    const number = this.memory.blockOf(page);
    const block = this.memory.blocks[number]!;
    const index = page - this.memory.rangeOf(number).first;
    if (content === null || content.compare(zeroPage, 0, pageBytes, at, at + pageBytes) === 0)
      part.addZeroPage(block, index);
    else part.addPage(block, index, content, at);
    this.markSent(page);
  }

  /**
   * At once, before whatever was not handed over yet.
   * @param onGone hears when the kernel has taken it: no other byte of ours is before it then
   */
  send(part: RamPart, onGone?: () => void): void {
    if (part.empty) return this.keep(part);
    this.socket.write(part.finish(), () => {
      this.keep(part);
      onGone?.();
    });
  }

  /** When little is waiting: what is sent at once in the meantime then waits behind no more than `mostBytes` and this part. */
  async sendInTurn(part: RamPart, mostBytes = mostBytesUnasked): Promise<void> {
    while (!part.empty && this.socket.writableLength > mostBytes) await once(this.socket, 'drain');
    this.send(part);
  }

  /** What QEMU has to ask for, in one memory block. Offsets and lengths in bytes. */
  unsentRanges(block: number): { start: number; length: number }[] {
    const ranges: { start: number; length: number }[] = [];
    const { first: base, end } = this.memory.rangeOf(block);
    for (let page = base; page < end; page++) {
      if (this.sent[page] !== 0) continue;
      const first = page;
      while (page < end && this.sent[page] === 0) page++;
      ranges.push({ start: (first - base) * pageBytes, length: (page - first) * pageBytes });
    }
    return ranges;
  }

  /** The memory of a part that nobody reads any more. */
  private keep({ memory }: RamPart): void {
    if (this.spares.length < mostSpares) this.spares.push(memory);
  }
}
