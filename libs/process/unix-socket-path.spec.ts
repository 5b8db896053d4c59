import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unixSocketPath } from './unix-socket-path';

let root: string;
const servers: Server[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'dormouse-socket-'));
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(root, { recursive: true, force: true });
});

async function listen(path: string, answer: string): Promise<void> {
  const server = createServer((socket) => socket.end(answer));
  servers.push(server);
  server.listen(path);
  await once(server, 'listening');
}

async function ask(path: string): Promise<string> {
  let said = '';
  for await (const chunk of connect(path)) said += String(chunk);
  return said;
}

async function directoryOf(bytes: number): Promise<string> {
  let path = root;
  while (path.length < bytes) path = join(path, 'd'.repeat(Math.min(Math.max(bytes - path.length - 1, 1), 100)));
  await mkdir(path, { recursive: true });
  return path;
}

test('a path that fits stays as it is', () => {
  expect(unixSocketPath('/run/dormouse/desk', 'qmp.sock')).toBe('/run/dormouse/desk/qmp.sock');
});

test.each([90, 98, 99, 107, 108, 300])(
  'a socket in a directory of %i bytes can be listened at and connected to',
  async (bytes) => {
    const directory = await directoryOf(bytes);
    await listen(unixSocketPath(directory, 'qmp.sock'), 'here');
    expect(await ask(unixSocketPath(directory, 'qmp.sock'))).toBe('here');
  },
);

test('the length that counts is that of the bytes and not of the characters', async () => {
  const directory = join(root, 'ü'.repeat(50)); // 50 characters, 100 bytes
  await mkdir(directory);
  await listen(unixSocketPath(directory, 'qmp.sock'), 'here');
  expect(await ask(unixSocketPath(directory, 'qmp.sock'))).toBe('here');
});

test('sockets in two directories with long names are not mixed up', async () => {
  const [one, two] = [join(await directoryOf(200), 'one'), join(await directoryOf(200), 'two')];
  for (const directory of [one, two]) {
    await mkdir(directory);
    await listen(unixSocketPath(directory, 'qmp.sock'), directory);
  }
  for (const directory of [one, two, one]) expect(await ask(unixSocketPath(directory, 'qmp.sock'))).toBe(directory);
});

test('a directory that was removed and made again is the new one', async () => {
  const directory = await directoryOf(200);
  await listen(unixSocketPath(directory, 'qmp.sock'), 'the old one');
  await rm(directory, { recursive: true });
  await mkdir(directory);
  await listen(unixSocketPath(directory, 'qmp.sock'), 'the new one');
  expect(await ask(unixSocketPath(directory, 'qmp.sock'))).toBe('the new one');
});

test('however many directories with long names there were, few of them stay open', async () => {
  const parent = await directoryOf(200);
  const openBefore = (await readdir('/proc/self/fd')).length;
  for (let n = 0; n < 300; n += 1) {
    const directory = join(parent, String(n));
    await mkdir(directory);
    unixSocketPath(directory, 'qmp.sock');
    await rm(directory, { recursive: true });
  }
  expect((await readdir('/proc/self/fd')).length - openBefore).toBeLessThanOrEqual(70);
});
