import { DormouseError } from '@dormouse/errors';
import { returnPathType } from './layout';

/** What a postcopy destination says. Offsets and lengths in bytes. */
export type ReturnPathMessage =
  | { readonly kind: 'pong'; readonly value: number }
  | { readonly kind: 'request-pages'; readonly block: string; readonly start: number; readonly length: number }
  | { readonly kind: 'shut'; readonly failed: boolean };

const headBytes = 4;

/** Reads the return path of a migration, chunk by chunk. */
export class ReturnPathReader {
  private rest: Buffer = Buffer.alloc(0);
  private block: string | null = null;

  constructor(private readonly onMessage: (message: ReturnPathMessage) => void) {}

  /** @throws STREAM_MALFORMED */
  push(chunk: Buffer): void {
    let buffer = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    while (buffer.length >= headBytes) {
      const length = buffer.readUInt16BE(2);
      if (buffer.length < headBytes + length) break;
      this.read(buffer.readUInt16BE(0), buffer.subarray(headBytes, headBytes + length));
      buffer = buffer.subarray(headBytes + length);
    }
    this.rest = Buffer.from(buffer); // a copy: the chunk is not ours to keep
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
      default:
        throw new DormouseError('STREAM_MALFORMED', `the destination sent a message of unknown type ${type}`);
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
  if (!holds) throw new DormouseError('STREAM_MALFORMED', `the destination sent a ${message} message of wrong length`);
}
