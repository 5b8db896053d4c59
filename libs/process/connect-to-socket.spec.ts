import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectToSocket } from '@dormouse/process';

let directory: string;
let server: Server;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dormouse-socket-'));
  server = createServer((socket) => socket.end('hello')).listen(join(directory, 'real.sock'));
  await once(server, 'listening');
  symlinkSync('real.sock', join(directory, 'link.sock'));
  writeFileSync(join(directory, 'file.sock'), '');
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

test('a socket is connected to', async () => {
  const [said] = (await once(connectToSocket(join(directory, 'real.sock')), 'data')) as [Buffer];
  expect(said.toString()).toBe('hello');
});

test.each([
  ['a link to one', 'link.sock', 'ENOTSOCK'],
  ['a file', 'file.sock', 'ENOTSOCK'],
  ['nothing', 'none.sock', 'ENOENT'],
])('%s is not', async (_, name, code) => {
  await expect(once(connectToSocket(join(directory, name)), 'connect')).rejects.toMatchObject({ code });
});
