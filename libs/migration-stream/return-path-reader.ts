import { DormouseError } from '@dormouse/errors';
import { receivedBitmapEnd, returnPathType } from './layout';

/** What a postcopy destination says. Offsets and lengths in bytes. */
export type ReturnPathMessage =
  | { readonly kind: 'pong'; readonly value: number }
  | { readonly kind: 'request-pages'; readonly block: string; readonly start: number; readonly length: number }
  | { readonly kind: 'shut'; readonly failed: boolean }
  /** Bit n, the lowest of a byte first, is 1 when the destination has page n of the block. */
  | { readonly kind: 'received'; readonly block: string; readonly bitmap: Buffer }
  | { readonly kind: 'resume-acknowledged' };

const headBytes = 4;
/** A bitmap stands between its u64 length and a u64 mark. */
const bitmapFrameBytes = 16;
/** Of a block of 16 TiB. */
const longestBitmapBytes = 2 ** 29;
const resumeAcknowledgement = 1;

/** Reads the return path of a migration, chunk by chunk. */
export class ReturnPathReader {
  private rest: Buffer = Buffer.alloc(0);
  private block: string | null = null;
  /** Its bitmap follows, outside of any message. */
  private bitmapOf: string | null = null;

  constructor(private readonly onMessage: (message: ReturnPathMessage) => void) {}

  /** @throws STREAM_MALFORMED */
  push(chunk: Buffer): void {
    let buffer = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    for (let taken = this.take(buffer); taken > 0; taken = this.take(buffer)) buffer = buffer.subarray(taken);
    this.rest = Buffer.from(buffer); // a copy: the chunk is not ours to keep
  }

  /** @returns the bytes of what stands whole at the beginning; 0 when more must come */
  private take(buffer: Buffer): number {
    if (this.bitmapOf !== null) return this.takeBitmap(buffer, this.bitmapOf);
    if (buffer.length < headBytes) return 0;
    const end = headBytes + buffer.readUInt16BE(2);
    if (buffer.length < end) return 0;
    this.read(buffer.readUInt16BE(0), buffer.subarray(headBytes, end));
    return end;
  }

  private takeBitmap(buffer: Buffer, block: string): number {
    if (buffer.length < 8) return 0;
    const bytes = Number(buffer.readBigUInt64BE(0));
    if (bytes > longestBitmapBytes) throw malformed(`a bitmap of ${bytes} bytes`);
    const end = bitmapFrameBytes + bytes;
    if (buffer.length < end) return 0;
    if (buffer.readBigUInt64BE(end - 8) !== receivedBitmapEnd)
      throw malformed('a bitmap that does not end where it says');
    this.bitmapOf = null;
    this.onMessage({ kind: 'received', block, bitmap: Buffer.from(buffer.subarray(8, end - 8)) });
    return end;
  }

  private read(type: number, data: Buffer): void {
    switch (type) {
      case returnPathType.pong:
        expect(data.length === 4, 'PONG');
        return this.onMessage({ kind: 'pong', value: data.readUInt32BE(0) });
      case returnPathType.shut:
        expect(data.length === 4, 'SHUT');
        return this.onMessage({ kind: 'shut', failed: data.readUInt32BE(0) !== 0 });
      case returnPathType.requestPagesOfBlock:
        expect(data.length > 13 && data.length === 13 + data[12]!, 'REQ_PAGES_ID');
        this.block = data.toString('latin1', 13);
        return this.request(data);
      case returnPathType.requestPages:
        expect(data.length === 12, 'REQ_PAGES');
        return this.request(data);
      case returnPathType.receivedBitmap:
        expect(data.length > 1 && data.length === 1 + data[0]!, 'RECV_BITMAP');
        this.bitmapOf = data.toString('latin1', 1);
        return;
      case returnPathType.resumeAcknowledged:
        expect(data.length === 4, 'RESUME_ACK');
        if (data.readUInt32BE(0) !== resumeAcknowledgement) throw malformed('a refusal to go on');
        return this.onMessage({ kind: 'resume-acknowledged' });
      default:
        throw malformed(`a message of unknown type ${type}`);
    }
  }

  private request(data: Buffer): void {
    if (this.block === null)
      throw new DormouseError('STREAM_MALFORMED', 'the destination asked for a page of no block');
    const start = data.readUInt32BE(0) * 0x1_0000_0000 + data.readUInt32BE(4);
    this.onMessage({ kind: 'request-pages', block: this.block, start, length: data.readUInt32BE(8) });
  }
}

function expect(holds: boolean, message: string): void {
  if (!holds) throw malformed(`a ${message} message of wrong length`);
}

function malformed(what: string): DormouseError {
  return new DormouseError('STREAM_MALFORMED', `the destination sent ${what}`);
}
