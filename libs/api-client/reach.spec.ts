import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiClient } from './api-client';

let server: Server | null = null;
afterEach(() => server?.close());

async function portOf(started: Server): Promise<number> {
  server = started.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function serving(listener: RequestListener): Promise<ApiClient> {
  return new ApiClient({ url: `http://127.0.0.1:${await portOf(createServer(listener))}`, adminKey: 'key' });
}

test('a long list is asked for in few large pages, over one connection', async () => {
  const asked: string[] = [];
  const sockets = new Set<unknown>();
  const client = await serving((request, response) => {
    asked.push(request.url!);
    sockets.add(request.socket);
    const second = request.url!.includes('cursor');
    response.end(JSON.stringify({ items: [{ id: second ? 'b' : 'a' }], nextCursor: second ? null : 'a' }));
  });
  const ids = [];
  for await (const { id } of client.desktops()) ids.push(id);
  expect(ids).toEqual(['a', 'b']);
  expect(asked).toEqual(['/v1/desktops?limit=500', '/v1/desktops?limit=500&cursor=a']);
  expect(sockets.size).toBe(1);
});

test('a page of a proxy is told from an answer of Dormouse', async () => {
  const client = await serving((_, response) => response.writeHead(502).end('<h1>Bad gateway</h1>'));
  await expect(client.desktop('ada')).rejects.toMatchObject({
    code: 'SERVICE_UNAVAILABLE',
    message: expect.stringContaining('answered 502, and not as a Dormouse does'),
  });
});

test('an answer that breaks off is an error, not a part of the answer', async () => {
  const client = await serving((_, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{"id":');
    setImmediate(() => response.destroy());
  });
  await expect(client.desktop('ada')).rejects.toMatchObject({
    code: 'SERVICE_UNAVAILABLE',
    message: expect.stringMatching(/broke its answer off$/),
  });
});

test('where nothing listens, the error says what to do', async () => {
  const port = await portOf(createServer());
  await new Promise((resolve) => server!.close(resolve));
  const client = new ApiClient({ url: `http://127.0.0.1:${port}`, adminKey: 'key' });
  await expect(client.desktop('ada')).rejects.toMatchObject({
    code: 'SERVICE_UNAVAILABLE',
    message: `nothing answers at http://127.0.0.1:${port}. Start Dormouse with \`npm start\`, or set DORMOUSE_URL.`,
  });
});

test('an api behind TLS whose certificate nobody vouches for is not spoken to', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'dormouse-tls-'));
  try {
    const files = ['-keyout', 'key.pem', '-out', 'certificate.pem'];
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', ...files];
    execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
    const [key, cert] = ['key.pem', 'certificate.pem'].map((name) => readFileSync(join(directory, name)));
    let asked = 0;
    const port = await portOf(createTlsServer({ key, cert }, () => (asked += 1)));
    const client = new ApiClient({ url: `https://127.0.0.1:${port}`, adminKey: 'key' });
    await expect(client.desktop('ada')).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining('self-signed certificate'),
    });
    expect(asked).toBe(0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
