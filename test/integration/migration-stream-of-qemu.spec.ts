import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encode, MigrationStreamReader, pageBytes, RamPart, type RamBlock } from '@dormouse/migration-stream';
import { QmpClient } from '@dormouse/qemu';
import { qemuBinaries } from '../qemu';

/** The reader and the encoder against the one whose language they speak. */

const memoryMiB = 64;
const machine = ['-machine', 'pc-q35-7.2,accel=tcg', '-m', `${memoryMiB}`, '-nodefaults', '-display', 'none', '-S'];

let directory: string;
const machines: ChildProcess[] = [];
const clients: QmpClient[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-stream-'));
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const child of machines.splice(0)) {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
  await rm(directory, { recursive: true, force: true });
});

async function startMachine(qemu: string, name: string, ...more: string[]): Promise<QmpClient> {
  const socket = `${name}.sock`;
  const child = spawn(qemu, [...machine, '-qmp', `unix:${socket},server=on,wait=off`, ...more], {
    cwd: directory,
    stdio: 'ignore',
  });
  machines.push(child);
  for (;;) {
    try {
      const qmp = await QmpClient.connect(join(directory, socket));
      clients.push(qmp);
      return qmp;
    } catch (error) {
      if (child.exitCode !== null) throw error;
      await sleep(20);
    }
  }
}

/** Tells a machine to save itself, and gives what it sends, chunk by chunk. */
async function streamOf(qmp: QmpClient): Promise<Buffer[]> {
  const server = createServer().listen(join(directory, 'stream.sock'));
  const connected = once(server, 'connection') as Promise<[Socket]>;
  await qmp.execute('migrate', { uri: 'unix:stream.sock' });
  const [socket] = await connected;
  server.close();
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return chunks;
}

/** All that a stream holds, collected as only a test may. */
function readWhole(chunks: readonly Buffer[]) {
  let blocks: readonly RamBlock[] = [];
  const pages = new Map<string, Buffer | null>();
  const reader = new MigrationStreamReader({
    blocks: (listed) => (blocks = [...listed]),
    zeroPage: (block, index) => pages.set(`${block} ${index}`, null),
    page: (block, index, source, offset) =>
      pages.set(`${block} ${index}`, Buffer.from(source.subarray(offset, offset + pageBytes))),
  });
  for (const chunk of chunks) reader.push(chunk);
  return { blocks, pages, ...reader.finish(), bytesRead: reader.bytesRead };
}

function digestOf(pages: ReadonlyMap<string, Buffer | null>): string {
  const hash = createHash('sha256');
  for (const [name, content] of pages) hash.update(name).update(content ?? 'zero');
  return hash.digest('hex');
}

async function until(qmp: QmpClient, command: string, status: string): Promise<void> {
  for (;;) {
    const answer = await qmp.execute<{ status?: string }>(command);
    if (answer.status === status) return;
    if (answer.status === 'failed') throw new Error(`${command} says: ${JSON.stringify(answer)}`);
    await sleep(20);
  }
}

async function memoryDigest(qmp: QmpClient): Promise<string> {
  const filename = join(directory, 'memory');
  await qmp.execute('pmemsave', { val: 0, size: memoryMiB * 2 ** 20, filename });
  return createHash('sha256')
    .update(await readFile(filename))
    .digest('hex');
}

describe.each(qemuBinaries())('with %s', (qemu) => {
  test('the stream of a machine that never ran has every page of its memory, whatever chunks it comes in', async () => {
    const chunks = await streamOf(await startMachine(qemu, 'source'));
    const { blocks, pages, configuration, deviceState, bytesRead } = readWhole(chunks);

    expect(blocks).toContainEqual({ name: 'pc.ram', bytes: memoryMiB * 2 ** 20 });
    expect(blocks.map(({ name }) => name)).toContain('pc.bios');
    const expected = blocks.flatMap(({ bytes }, block) =>
      Array.from({ length: bytes / pageBytes }, (_, index) => `${block} ${index}`),
    );
    expect(pages.size).toBe(expected.length);
    expect(expected.filter((page) => !pages.has(page))).toEqual([]);
    expect(bytesRead).toBe(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    expect(configuration.toString('latin1', 4, 4 + configuration.readUInt32BE(0))).toBe('pc-q35-7.2');
    // The first device section and the footer of the last.
    expect(deviceState[0]).toBe(4);
    expect(deviceState.at(-5)).toBe(0x7e);

    const whole = Buffer.concat(chunks);
    for (const size of [1000, 4097, 65_536, whole.length]) {
      const cut = Array.from({ length: Math.ceil(whole.length / size) }, (_, n) =>
        whole.subarray(n * size, (n + 1) * size),
      );
      const again = readWhole(cut);
      expect(again.deviceState.equals(deviceState)).toBe(true);
      expect(digestOf(again.pages)).toBe(digestOf(pages));
    }
  });

  test('device state that ends too early is refused, wherever it is cut', async () => {
    const whole = Buffer.concat(await streamOf(await startMachine(qemu, 'source')));
    const { blocks, configuration, deviceState } = readWhole([whole]);
    // The same stream without its pages, so that it can be read some ten thousand times.
    const memory = Buffer.concat([encode.preamble(configuration), encode.ramStart(blocks), encode.ramEnd()]);
    const tail = whole.subarray(whole.indexOf(deviceState));
    const accepted: number[] = [];
    for (let length = 0; length <= tail.length; length += length < deviceState.length + 50 ? 1 : 13) {
      try {
        expect(readWhole([memory, tail.subarray(0, length)]).deviceState.equals(deviceState)).toBe(true);
        accepted.push(length);
      } catch (error) {
        expect(error).toMatchObject({ code: 'STREAM_MALFORMED' });
      }
    }
    expect(accepted.filter((length) => length !== tail.length)).toEqual([deviceState.length + 1]);
  });

  test('QEMU takes in what the encoder writes of what the reader read, to the last byte of memory', async () => {
    const source = await startMachine(qemu, 'source');
    // The firmware runs for a moment, so that memory and devices hold something of their own.
    await source.execute('cont');
    await sleep(500);
    await source.execute('stop');
    const { blocks, pages, configuration, deviceState } = readWhole(await streamOf(source));
    await until(source, 'query-migrate', 'completed');

    const destination = await startMachine(qemu, 'destination', '-incoming', 'unix:incoming.sock');
    const socket = connect(join(directory, 'incoming.sock'));
    socket.write(Buffer.concat([encode.preamble(configuration), encode.ramStart(blocks)]));
    let part = new RamPart(Buffer.allocUnsafe(pageBytes));
    let inPart = 0;
    for (const [name, content] of pages) {
      const [block, index] = name.split(' ').map(Number) as [number, number];
      if (content === null) part.addZeroPage(blocks[block]!, index);
      else part.addPage(blocks[block]!, index, content, 0);
      if (++inPart % 100 !== 0) continue;
      socket.write(part.finish());
      part = new RamPart(Buffer.allocUnsafe(pageBytes));
    }
    socket.end(Buffer.concat([part.finish(), encode.ramEnd(), deviceState, encode.endOfStream()]));
    await until(destination, 'query-migrate', 'completed');

    const [slept, woken] = [await memoryDigest(source), await memoryDigest(destination)];
    expect(woken).toBe(slept);
    expect([...pages.values()].filter((content) => content !== null).length).toBeGreaterThan(50);
    await destination.execute('cont');
    await until(destination, 'query-status', 'running');
  });
});
