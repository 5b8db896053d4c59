import { Decoder, Encoder } from '@toondepauw/node-zstd';
import { corrupt } from './corruption';
import { entriesPerRun } from './layout';

/** Lists of equal entries, stored column by column in compressed runs: `docs/checkpoint-format.md`, page map. */

const encoder = new Encoder(1);
const decoder = new Decoder();

/** Runs that are being decompressed while the one before them is read. */
const runsAhead = 4;

/** Bytes of one entry's fields, in their order. */
export type Columns = readonly (1 | 2 | 4 | 8)[];

/** Runs that are being compressed at once. */
const runsAtOnce = 4;

/**
 * Compresses the runs of a list, each behind its u32 length. A few at a time, in memory that is used again: a guest may stand
 * still for this, and to touch new memory takes longer than to fill it.
 * @param write fills the columns of entries `from` … `to - 1`, which are zero; `columns[n]` begins with that of `from`
 */
export async function encodeColumns(
  count: number,
  columns: Columns,
  write: (columns: readonly Buffer[], from: number, to: number) => void,
): Promise<Buffer[]> {
  const runs = new Array<Buffer>(Math.ceil(count / entriesPerRun));
  let next = 0;
  const encodeOnes = async (): Promise<void> => {
    const memory = Buffer.allocUnsafeSlow(Math.min(count, entriesPerRun) * entryBytes(columns));
    while (next < runs.length) {
      const run = next++;
      const from = run * entriesPerRun;
      const to = Math.min(from + entriesPerRun, count);
      const plain = memory.subarray(0, (to - from) * entryBytes(columns)).fill(0);
      write(split(plain, columns, to - from), from, to);
      runs[run] = await encoder.encode(plain);
    }
  };
  await Promise.all(Array.from({ length: Math.min(runsAtOnce, runs.length) }, encodeOnes));
  return runs.map((run) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(run.length);
    return Buffer.concat([length, run]);
  });
}

/**
 * Reads a list of `count` entries that begins at `at`.
 * @returns where it ends
 * @throws CHECKPOINT_CORRUPT naming `object`
 */
export async function decodeColumns(
  encoded: Buffer,
  at: number,
  count: number,
  columns: Columns,
  object: string,
  read: (columns: readonly Buffer[], from: number, to: number) => void,
): Promise<number> {
  const coming: Promise<void>[] = [];
  for (let from = 0; from < count; from += entriesPerRun) {
    const to = Math.min(from + entriesPerRun, count);
    if (at + 4 > encoded.length) throw corrupt(object, 'a list is cut off');
    const end = at + 4 + encoded.readUInt32LE(at);
    if (end > encoded.length) throw corrupt(object, 'a list is cut off');
    const plain = decompress(encoded.subarray(at + 4, end), (to - from) * entryBytes(columns), object);
    const before = coming.at(-1);
    const done = plain.then(async (bytes) => {
      await before;
      read(split(bytes, columns, to - from), from, to);
    });
    done.catch(() => undefined); // met below, or by the run after it
    coming.push(done);
    if (coming.length > runsAhead) await coming.shift();
    at = end;
  }
  await Promise.all(coming);
  return at;
}

/** What is compressed was authenticated before: its length is checked for soundness, not against an author. */
async function decompress(compressed: Buffer, bytes: number, object: string): Promise<Buffer> {
  const plain = await decoder.decode(compressed).catch((cause: unknown) => {
    throw corrupt(object, 'a list does not decompress', cause);
  });
  if (plain.length !== bytes) throw corrupt(object, 'a list has another length');
  return plain;
}

function entryBytes(columns: Columns): number {
  return columns.reduce<number>((sum, bytes) => sum + bytes, 0);
}

function split(plain: Buffer, columns: Columns, count: number): Buffer[] {
  let at = 0;
  return columns.map((bytes) => plain.subarray(at, (at += bytes * count)));
}
