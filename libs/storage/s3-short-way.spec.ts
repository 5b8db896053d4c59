import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openBlobStore } from './open-store';
import type { BlobStore } from './blob-store';

const secret = 'a/secret+key';
const content = Buffer.from('what is stored');

let server: Server;
let store: BlobStore;
let seen: IncomingMessage[];
let answer: (incoming: IncomingMessage, outgoing: ServerResponse) => void;

/** The SDK names the operation in the URL. */
const isOfTheSdk = ({ url }: IncomingMessage): boolean => url!.includes('x-id=GetObject');

function give(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(incoming.headers.range ?? '') ?? [];
  const body = first === undefined ? content : content.subarray(Number(first), Number(last) + 1);
  outgoing.writeHead(first === undefined ? 200 : 206, { 'content-length': body.length }).end(body);
}

function refuse(outgoing: ServerResponse, status: number, code: string): void {
  outgoing.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`);
}

beforeEach(async () => {
  seen = [];
  answer = give;
  server = createServer((incoming, outgoing) => {
    seen.push(incoming);
    answer(incoming, outgoing);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const credentials = `KEYID:${encodeURIComponent(secret)}`;
  store = await openBlobStore(
    `s3://${credentials}@bucket/some/folder?endpoint=http://127.0.0.1:${port}&region=eu-north-1`,
  );
  seen = [];
});
afterEach(async () => {
  await store.close();
  server.closeAllConnections();
  server.close();
});

/** AWS Signature Version 4, "Create a signed AWS API request": that of the request that came, by its own headers. */
function signatureOf({ method, url, headers, rawHeaders }: IncomingMessage): string {
  const [, scope, names] = /Credential=KEYID\/(\S+), SignedHeaders=(\S+),/.exec(headers.authorization!)!;
  const given = (name: string): string =>
    rawHeaders[rawHeaders.findIndex((one, n) => n % 2 === 0 && one.toLowerCase() === name) + 1]!.trim();
  const lines = names!.split(';').map((name) => `${name}:${given(name)}\n`);
  const canonical = [method, url, '', lines.join(''), names, given('x-amz-content-sha256')].join('\n');
  const hash = createHash('sha256').update(canonical).digest('hex');
  const toSign = ['AWS4-HMAC-SHA256', given('x-amz-date'), scope, hash].join('\n');
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
  return hmac(scope!.split('/').reduce<string | Buffer>(hmac, `AWS4${secret}`), toSign).toString('hex');
}

test('a read is one request, signed as AWS wants it', async () => {
  expect(await store.read('desk/pack-0', { offset: 5, length: 2 })).toEqual(Buffer.from('is'));
  const [request, ...others] = seen;
  expect(others).toEqual([]);
  expect(isOfTheSdk(request!)).toBe(false);
  expect(request!.url).toBe('/bucket/some/folder/desk/pack-0');
  expect(request!.headers.authorization).toMatch(
    /^AWS4-HMAC-SHA256 Credential=KEYID\/\d{8}\/eu-north-1\/s3\/aws4_request, /,
  );
  expect(request!.headers.authorization).toContain(`Signature=${signatureOf(request!)}`);
});

test('what goes wrong on the short way is read by the SDK, and the next read tries it again', async () => {
  for (const status of [503, 500]) {
    answer = (incoming, outgoing) =>
      isOfTheSdk(incoming) ? give(incoming, outgoing) : refuse(outgoing, status, 'SlowDown');
    seen = [];
    expect(await store.read('pack')).toEqual(content);
    expect(seen.map(isOfTheSdk)).toEqual([false, true]);
  }
  answer = (incoming, outgoing) => (isOfTheSdk(incoming) ? give(incoming, outgoing) : outgoing.destroy());
  seen = [];
  expect(await store.readStart('pack', 4)).toEqual(content.subarray(0, 4));
  expect(seen.map(isOfTheSdk)).toEqual([false, true]);
});

test('a storage that wants to be asked in another way is asked so from then on', async () => {
  answer = (incoming, outgoing) =>
    isOfTheSdk(incoming) ? give(incoming, outgoing) : refuse(outgoing, 403, 'SignatureDoesNotMatch');
  for (let n = 0; n < 2; n++) expect(await store.read('pack')).toEqual(content);
  expect(seen.map(isOfTheSdk)).toEqual([false, true, true]);
});

test('more than was asked for is not taken', async () => {
  answer = (incoming, outgoing) => {
    if (isOfTheSdk(incoming)) give(incoming, outgoing);
    else outgoing.writeHead(206, { 'content-length': content.length }).end(content);
  };
  expect(await store.read('pack', { offset: 0, length: 4 })).toEqual(content.subarray(0, 4));
  expect(await store.readStart('pack', 4)).toEqual(content.subarray(0, 4));
  expect(seen.map(isOfTheSdk)).toEqual([false, true, false, true]);
});
