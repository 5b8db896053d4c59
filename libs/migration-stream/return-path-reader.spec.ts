import fc from 'fast-check';
import { isDormouseError } from '@dormouse/errors';
import { ReturnPathReader, type ReturnPathMessage } from './return-path-reader';
import { chunksOf, text, u16, u32, u64 } from './stream-fixture';

/** A message as a destination writes it: u16 type, u16 length, data. */
const message = (type: number, ...data: Buffer[]): Buffer => {
  const content = Buffer.concat(data);
  return Buffer.concat([u16(type), u16(content.length), content]);
};
const pong = (value: number): Buffer => message(2, u32(value));
const shut = (value: number): Buffer => message(1, u32(value));
const requestOf = (block: string, start: number | bigint, length: number): Buffer =>
  message(3, u64(start), u32(length), text(block));
const request = (start: number, length: number): Buffer => message(4, u64(start), u32(length));

function read(bytes: Buffer, sizes: readonly number[] = [bytes.length]): ReturnPathMessage[] {
  const messages: ReturnPathMessage[] = [];
  const reader = new ReturnPathReader((heard) => messages.push(heard));
  for (const chunk of chunksOf(bytes, sizes)) reader.push(chunk);
  return messages;
}

function refusal(bytes: Buffer): string {
  try {
    read(bytes);
  } catch (error) {
    if (isDormouseError(error, 'STREAM_MALFORMED')) return error.message;
    throw error;
  }
  throw new Error('the message was accepted');
}

const conversation = Buffer.concat([
  pong(0xfedcba98),
  requestOf('pc.ram', 0x1_2345_6000, 4096),
  request(0x2000, 8192),
  requestOf('0000:00:01.0/vga.vram', 0, 4096),
  request(0xfff000, 4096),
  message(5, text('pc.ram')),
  u64(8),
  Buffer.from('0123456789abcdef', 'hex'),
  u64(0x0123456789abcdefn),
  message(6, u32(1)),
  shut(0),
  shut(1),
]);

const heard: ReturnPathMessage[] = [
  { kind: 'pong', value: 0xfedcba98 },
  { kind: 'request-pages', block: 'pc.ram', start: 0x1_2345_6000, length: 4096 },
  { kind: 'request-pages', block: 'pc.ram', start: 0x2000, length: 8192 },
  { kind: 'request-pages', block: '0000:00:01.0/vga.vram', start: 0, length: 4096 },
  { kind: 'request-pages', block: '0000:00:01.0/vga.vram', start: 0xfff000, length: 4096 },
  { kind: 'received', block: 'pc.ram', bitmap: Buffer.from('0123456789abcdef', 'hex') },
  { kind: 'resume-acknowledged' },
  { kind: 'shut', failed: false },
  { kind: 'shut', failed: true },
];

test('every kind of message is heard, a request without a name being of the block named last', () => {
  expect(read(conversation)).toEqual(heard);
});

test('messages are heard the same however they are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
      expect(read(conversation, sizes)).toEqual(heard);
    }),
  );
});

test('a message is heard as soon as its last byte is there, and not before', () => {
  const messages: ReturnPathMessage[] = [];
  const reader = new ReturnPathReader((said) => messages.push(said));
  reader.push(pong(1).subarray(0, 7));
  expect(messages).toEqual([]);
  reader.push(pong(1).subarray(7));
  expect(messages).toHaveLength(1);
});

test.each<[string, Buffer]>([
  ['a message of no known kind', message(9, u32(1))],
  ['a bitmap of a block without a name', message(5, text(''))],
  ['a bitmap of more pages than memory has', Buffer.concat([message(5, text('pc.ram')), u64(2 ** 40)])],
  ['a bitmap that ends elsewhere', Buffer.concat([message(5, text('pc.ram')), u64(8), u64(0), u64(1)])],
  ['a refusal to go on', message(6, u32(0))],
  ['a pong that is too short', message(2, u16(1))],
  ['a pong that is too long', message(2, u64(1))],
  ['a shut without its value', message(1)],
  ['a request that is too short', Buffer.concat([requestOf('pc.ram', 0, 4096), message(4, u64(0))])],
  ['a request whose block name is cut', message(3, u64(0), u32(4096), text('pc.ram').subarray(0, 5))],
  ['a request whose block name is followed by something', message(3, u64(0), u32(4096), text('pc.ram'), u16(0))],
  ['a request of a block without a name', message(3, u64(0), u32(4096), text(''))],
  ['a request before any block was named', request(0, 4096)],
])('%s is refused', (_, bytes) => {
  expect(refusal(bytes)).toMatch(/^the destination /);
});

test('whatever is said, it is heard or refused', () => {
  fc.assert(
    fc.property(fc.nat(9), fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 60 }), (type, data, more) => {
      try {
        read(Buffer.concat([message(type, Buffer.from(data)), Buffer.from(more)]));
      } catch (error) {
        expect(error).toMatchObject({ code: 'STREAM_MALFORMED' });
      }
    }),
  );
});
