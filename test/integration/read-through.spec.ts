import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readThrough } from '../../apps/pager/capture/read-through';

let directory: string;
let server: Server;
let writer: Socket;
let accepted: Socket;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-read-through-'));
  const path = join(directory, 'memory.sock');
  server = createServer({ pauseOnConnect: true }).listen(path);
  await once(server, 'listening');
  const connection = once(server, 'connection') as Promise<[Socket]>;
  writer = connect(path);
  [accepted] = await connection;
});
afterEach(async () => {
  writer.destroy();
  server.close();
  await rm(directory, { recursive: true, force: true });
});

/** The end of the connection as the writer sees it, which may be in the middle of writing. */
function hangUp(): Promise<void> {
  writer.on('error', () => undefined);
  return new Promise((resolve) => writer.once('close', () => resolve()));
}

/** Small, so that what is written takes many pieces. */
class Pieces {
  readonly read: Buffer[] = [];
  private readonly piece = Buffer.alloc(1000);

  room(): Buffer {
    return this.piece;
  }

  filled(bytes: number): void {
    this.read.push(Buffer.from(this.piece.subarray(0, bytes)));
  }
}

test('everything is read, and what comes next waits for what is done with what came', async () => {
  const sent = Buffer.from(Array.from({ length: 50_000 }, (_, n) => n % 251));
  const pieces = new Pieces();
  let busy = false;
  const takeTime = async (): Promise<void> => {
    expect(busy).toBe(false);
    busy = true;
    await new Promise((resolve) => setImmediate(resolve));
    busy = false;
  };
  writer.end(sent);
  await readThrough(accepted, pieces, takeTime, new AbortController().signal);
  expect(Buffer.concat(pieces.read).equals(sent)).toBe(true);
});

test.each(['while what has come is being dealt with', 'before anything has come'])(
  'whoever writes is hung up on when it is called off %s',
  async (when) => {
    const calledOff = new AbortController();
    let came = (): void => undefined;
    const come = new Promise<void>((resolve) => (came = resolve));
    const forever = (): Promise<void> => {
      came();
      return new Promise(() => undefined);
    };
    const hungUp = hangUp();
    const reading = readThrough(accepted, new Pieces(), forever, calledOff.signal);
    if (when.startsWith('while')) {
      writer.write(Buffer.alloc(2_000_000));
      await come;
    }
    calledOff.abort();
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
    await hungUp;
  },
);

test('what fails where it is read to ends it', async () => {
  const hungUp = hangUp();
  writer.write(Buffer.alloc(2_000_000));
  const full = new Error('no room');
  const fails = (): Promise<void> => Promise.reject(full);
  await expect(readThrough(accepted, new Pieces(), fails, new AbortController().signal)).rejects.toBe(full);
  await hungUp;
});
