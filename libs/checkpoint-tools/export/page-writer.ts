import { RamPart, type RamBlock } from '@dormouse/migration-stream';
import { pageBytes } from '../format';

export type WriteChunk = (chunk: Buffer) => Promise<void>;

/** Pages in one part of the ram section. */
const pagesPerPart = 256;

/** Pages by their numbers, in any order, as parts of the ram section. */
export class PageWriter {
  bytes = 0;
  count = 0;
  private part = newPart();
  private inPart = 0;
  private readonly firstPages: readonly number[];

  constructor(
    private readonly blocks: readonly RamBlock[],
    private readonly to: WriteChunk,
    private readonly onProgress: (pages: number) => void,
  ) {
    let first = 0;
    this.firstPages = blocks.map(({ bytes }) => (first += bytes / pageBytes) - bytes / pageBytes);
  }

  async zero(page: number): Promise<void> {
    const block = this.blockOf(page);
    this.part.addZeroPage(this.blocks[block]!, page - this.firstPages[block]!);
    if (this.isFull()) await this.flush();
  }

  /** The 4096 bytes of `content` from `offset`; they are copied. */
  async page(page: number, content: Buffer, offset: number): Promise<void> {
    const block = this.blockOf(page);
    this.part.addPage(this.blocks[block]!, page - this.firstPages[block]!, content, offset);
    if (this.isFull()) await this.flush();
  }

  /** Closes the part that is open. */
  async flush(): Promise<void> {
    if (this.inPart === 0) return;
    const part = this.part.finish();
    this.count += this.inPart;
    this.part = newPart();
    this.inPart = 0;
    await this.write(part);
    this.onProgress(this.count);
  }

  /** Other sections, between parts. */
  async write(section: Buffer): Promise<void> {
    await this.to(section);
    this.bytes += section.length;
  }

  private isFull(): boolean {
    return ++this.inPart === pagesPerPart;
  }

  private blockOf(page: number): number {
    let block = 0;
    while (page >= (this.firstPages[block + 1] ?? Infinity)) block++;
    return block;
  }
}

const newPart = (): RamPart => new RamPart(Buffer.allocUnsafe(pagesPerPart * pageBytes));
