import { pageBytes, type CheckpointWriter, type PageHasher } from '@dormouse/checkpoint';
import { MigrationStreamReader, type RamBlock } from '@dormouse/migration-stream';
import type { ReadTarget } from './read-through';

const chunkBytes = 2 * 1024 * 1024;
/** With less room than this left in a chunk the next one is begun. */
const leastRoomBytes = 64 * 1024;

interface Chunk {
  readonly memory: Buffer;
  /** It can be used again when the writer has taken this many pages. */
  until: number;
}

/**
 * The memory a guest's stream is read into, page by page looked at by the writer where it stands. Chunks are used again in
 * turn, which is the order in which the writer is done with their pages.
 */
export class StreamMemory implements ReadTarget {
  readonly stream: MigrationStreamReader;
  private opened: CheckpointWriter | null = null;
  private readonly before: Chunk[] = [];
  private chunk: Chunk;
  private begin = 0;
  private end = 0;

  /** @param open makes the writer, when the stream has told of its memory blocks */
  constructor(
    private readonly hasher: PageHasher,
    open: (blocks: readonly RamBlock[]) => CheckpointWriter,
  ) {
    const firstPage: number[] = [];
    this.stream = new MigrationStreamReader({
      blocks: (blocks) => {
        firstPage.push(...firstPages(blocks));
        this.opened = open(blocks.slice());
      },
      page: (block, index, source, offset) => this.opened!.addPage(firstPage[block]! + index, source, offset),
      zeroPage: (block, index) => this.opened!.addZeroPage(firstPage[block]! + index),
    });
    this.chunk = this.nextChunk();
  }

  /** Null before it was made. */
  get writer(): CheckpointWriter | null {
    return this.opened;
  }

  room(): Buffer {
    if (chunkBytes - this.end < leastRoomBytes) this.turnOver();
    return this.chunk.memory.subarray(this.end);
  }

  /** @throws STREAM_MALFORMED */
  filled(bytes: number): void {
    this.end += bytes;
    this.begin = this.stream.consume(this.chunk.memory, this.begin, this.end);
  }

  /** Goes on in another chunk, with the record whose end has not come yet at its head. */
  private turnOver(): void {
    const full = this.chunk;
    full.until = this.opened?.given ?? 0;
    this.before.push(full);
    this.chunk = this.nextChunk();
    this.end = full.memory.copy(this.chunk.memory, 0, this.begin, this.end);
    this.begin = 0;
  }

  private nextChunk(): Chunk {
    const oldest = this.before[0];
    if (oldest !== undefined && oldest.until <= (this.opened?.taken ?? 0)) return this.before.shift()!;
    return { memory: this.hasher.allocate(chunkBytes), until: 0 };
  }
}

/** Number of the first page of each block when pages are numbered through all blocks. */
function firstPages(blocks: readonly RamBlock[]): number[] {
  let next = 0;
  return blocks.map((block) => {
    const first = next;
    next += block.bytes / pageBytes;
    return first;
  });
}
