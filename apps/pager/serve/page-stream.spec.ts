import { Writable } from 'node:stream';
import { pageBytes } from '@dormouse/checkpoint';
import { GuestMemory } from './guest-memory';
import { PageStream } from './page-stream';

/** What was written, and has gone once `done` is called. */
interface Write {
  readonly chunk: Buffer;
  readonly done: () => void;
}

const memory = new GuestMemory([{ name: 'pc.ram', bytes: 64 * pageBytes }]);
let writes: Write[];
let stream: PageStream;

beforeEach(() => {
  writes = [];
  const socket = new Writable({ write: (chunk: Buffer, _, done) => void writes.push({ chunk, done }) });
  stream = new PageStream(memory, socket);
});

function sendPage(page: number): void {
  const part = stream.begin(1);
  stream.add(part, page, Buffer.alloc(pageBytes, page), 0);
  stream.send(part);
}

const holds = (chunk: Buffer, page: number): boolean => chunk.includes(Buffer.alloc(pageBytes, page));

test('the memory of a part is used again once it has gone, and no sooner', async () => {
  sendPage(1);
  sendPage(2);
  expect(writes).toHaveLength(1);
  expect(holds(writes[0]!.chunk, 1)).toBe(true);
  writes[0]!.done();
  await new Promise(setImmediate);
  expect(writes).toHaveLength(2);
  expect(holds(writes[1]!.chunk, 2)).toBe(true);
  expect(writes[1]!.chunk.buffer).not.toBe(writes[0]!.chunk.buffer);

  sendPage(3);
  writes[1]!.done();
  await new Promise(setImmediate);
  expect(holds(writes[2]!.chunk, 3)).toBe(true);
  expect(writes[2]!.chunk.buffer).toBe(writes[0]!.chunk.buffer);
});

test('the memory of a part that nothing was added to does for the next', () => {
  const part = stream.begin(1);
  stream.send(part);
  expect(writes).toEqual([]);
  expect(stream.begin(2).memory).toBe(part.memory);
});
