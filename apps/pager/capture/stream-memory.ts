import type { CheckpointWriter, PageHasher } from '@dormouse/checkpoint';
import type { MigrationStreamReader } from '@dormouse/migration-stream';
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
  private readonly before: Chunk[] = [];
  private chunk: Chunk;
  private begin = 0;
  private end = 0;

  constructor(
    private readonly hasher: PageHasher,
    private readonly stream: MigrationStreamReader,
    private readonly writer: () => CheckpointWriter | null,
  ) {
    this.chunk = this.nextChunk();
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
    full.until = this.writer()?.given ?? 0;
    this.before.push(full);
    this.chunk = this.nextChunk();
    this.end = full.memory.copy(this.chunk.memory, 0, this.begin, this.end);
    this.begin = 0;
  }

  private nextChunk(): Chunk {
    const oldest = this.before[0];
    if (oldest !== undefined && oldest.until <= (this.writer()?.taken ?? 0)) return this.before.shift()!;
    return { memory: this.hasher.allocate(chunkBytes), until: 0 };
  }
}
