import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlServer } from './control-server';
import { PagerClient } from './pager-client';
import type { CaptureStatus, PagerCommand } from './protocol';

const initial: CaptureStatus = {
  mode: 'capture',
  operationId: 'operation-1',
  state: 'listening',
  error: null,
  peakRssBytes: 0,
  streamBytes: 0,
  arrivedBytes: 0,
  ramBytes: 0,
  storedBytes: 0,
  rawBytes: 0,
  mapBytes: 0,
  wakePackBytes: 0,
  pages: null,
};
const full = { code: 'STORAGE_FULL', message: 'no space left', details: { key: 'pack-00001' } } as const;

let directory: string;
let path: string;
let server: ControlServer<CaptureStatus>;
let commands: PagerCommand['command'][];
let timesAlone: number;
const clients: PagerClient<CaptureStatus>[] = [];
const sockets: Socket[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-control-'));
  path = join(directory, 'pager.sock');
  commands = [];
  timesAlone = 0;
  server = new ControlServer(
    initial,
    (command) => commands.push(command),
    () => timesAlone++,
  );
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

async function connectClient(): Promise<PagerClient<CaptureStatus>> {
  const client = await PagerClient.connect<CaptureStatus>(path, 1_000);
  clients.push(client);
  return client;
}

/** Somebody at the socket who is not our client: what they say, and what they hear. */
async function connectAnyone(): Promise<{ socket: Socket; heard: () => string[] }> {
  const socket = connect(path);
  sockets.push(socket);
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return { socket, heard: () => text.split('\n').slice(0, -1) };
}

/** However it came: hung up on while it still speaks, a socket has an error too. */
const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()));

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5_000; !holds();) {
    if (Date.now() > deadline) throw new Error('it never came true');
    await sleep(2);
  }
}

describe('a pager', () => {
  beforeEach(() => server.listen(path));

  test('tells whoever connects its status at once, and then every change, one document a line', async () => {
    server.update({ state: 'receiving', ramBytes: 100 });
    const { heard } = await connectAnyone();
    await until(() => heard().length === 1);
    server.update({ streamBytes: 50 });
    server.update({ state: 'sealed' });
    await until(() => heard().length === 3);
    expect(heard().map((line) => JSON.parse(line) as unknown)).toEqual([
      { ...initial, state: 'receiving', ramBytes: 100 },
      { ...initial, state: 'receiving', ramBytes: 100, streamBytes: 50 },
      { ...initial, state: 'sealed', ramBytes: 100, streamBytes: 50 },
    ]);
    expect(server.current).toEqual({ ...initial, state: 'sealed', ramBytes: 100, streamBytes: 50 });
  });

  test('takes commands in their order, however they are cut', async () => {
    const { socket } = await connectAnyone();
    const text = ['abort', 'commit', 'leave'].map((command) => JSON.stringify({ command }) + '\n').join('');
    for (const character of text) {
      socket.write(character);
      await new Promise(setImmediate);
    }
    await until(() => commands.length === 3);
    expect(commands).toEqual(['abort', 'commit', 'leave']);
    (await connectClient()).send('abort');
    await until(() => commands.length === 4);
  });

  test.each(['help', '{"command":"quit"}', '{}', 'null', '"leave"', '[{"command":"leave"}]'])(
    'hangs up on one who says %s, does nothing, and serves the others on',
    async (nonsense) => {
      const { socket } = await connectAnyone();
      const client = await connectClient();
      socket.write(`${nonsense}\n{"command":"leave"}\n`);
      await closed(socket);
      server.update({ state: 'receiving' });
      await client.reached('receiving');
      expect(commands).toEqual([]);
    },
  );

  test('hangs up on one who never ends a line', async () => {
    const { socket } = await connectAnyone();
    socket.write(Buffer.alloc(100_000, 'x'));
    await closed(socket);
    expect(commands).toEqual([]);
  });

  test('learns when the last one has gone, and not before', async () => {
    expect(server.alone).toBe(true);
    const [first, second] = [await connectClient(), await connectClient()];
    await until(() => !server.alone);
    first.close();
    await sleep(30);
    expect([timesAlone, server.alone]).toEqual([0, false]);
    second.close();
    await until(() => timesAlone === 1);
    expect(server.alone).toBe(true);
    (await connectClient()).close();
    await until(() => timesAlone === 2);
  });

  test('has said everything when it is closed, and is not there any more', async () => {
    const client = await connectClient();
    for (let streamBytes = 1; streamBytes <= 1_000; streamBytes++) server.update({ streamBytes });
    server.update({ state: 'committed' });
    await server.close();
    await expect(client.reached('committed')).resolves.toMatchObject({ streamBytes: 1_000 });
    await expect(PagerClient.connect(path, 0)).rejects.toMatchObject({ code: 'PAGER_FAILED' });
  });
});

test('a pager takes the place of one that died and left its socket behind', async () => {
  const dead = createServer().listen(path);
  await once(dead, 'listening');
  await server.listen(path);
  await expect((await connectClient()).reached('listening')).resolves.toEqual(initial);
  dead.close();
});

test('a worker waits for a pager that is still starting', async () => {
  const connecting = connectClient();
  await sleep(50);
  await server.listen(path);
  await expect((await connecting).reached('listening')).resolves.toEqual(initial);
});

test('a pager that never starts is PAGER_FAILED after the patience, and not before', async () => {
  const before = Date.now();
  await expect(PagerClient.connect(path, 100)).rejects.toMatchObject({
    code: 'PAGER_FAILED',
    message: expect.stringContaining(path),
  });
  expect(Date.now() - before).toBeGreaterThanOrEqual(100);
});

test('a pager that has died before it listened is PAGER_FAILED at once', async () => {
  let alive = true;
  setTimeout(() => (alive = false), 30);
  const before = Date.now();
  await expect(PagerClient.connect(path, 20_000, () => alive)).rejects.toMatchObject({ code: 'PAGER_FAILED' });
  expect(Date.now() - before).toBeLessThan(2_000);
});

describe('a worker that waits for a state', () => {
  let client: PagerClient<CaptureStatus>;

  beforeEach(async () => {
    await server.listen(path);
    client = await connectClient();
  });

  test('goes on when it is reached, and at once when it has been', async () => {
    const reached = client.reached('sealed');
    server.update({ state: 'receiving' });
    server.update({ state: 'sealed', storedBytes: 7 });
    await expect(reached).resolves.toMatchObject({ state: 'sealed', storedBytes: 7 });
    await expect(client.reached('committed', 'sealed')).resolves.toMatchObject({ state: 'sealed' });
    expect(client.current).toMatchObject({ state: 'sealed' });
  });

  test('is told what the pager failed with', async () => {
    const reached = client.reached('sealed');
    server.update({ state: 'failed', error: full });
    await expect(reached).rejects.toMatchObject(full);
    await expect(client.reached('committed')).rejects.toMatchObject(full);
    await expect(client.reached('failed')).resolves.toMatchObject({ error: full });
  });

  test('is told when the pager has died', async () => {
    const reached = client.reached('sealed');
    server.update({ state: 'receiving' });
    await server.close();
    await expect(reached).rejects.toMatchObject({ code: 'PAGER_FAILED' });
  });

  test('is told the last thing the pager said rather than that it has gone', async () => {
    const reached = client.reached('sealed');
    server.update({ state: 'failed', error: full });
    await server.close();
    await expect(reached).rejects.toMatchObject(full);
    await expect(client.reached('sealed')).rejects.toMatchObject(full);
  });

  test('hears of changes for as long as it listens', async () => {
    const heard: number[] = [];
    const stop = client.onChange(({ streamBytes }) => heard.push(streamBytes));
    for (const streamBytes of [1, 2, 3]) {
      server.update({ streamBytes });
      await until(() => heard.at(-1) === streamBytes);
    }
    stop();
    server.update({ streamBytes: 4 });
    await until(() => client.current?.streamBytes === 4);
    expect(heard.at(-1)).toBe(3);
  });

  test('hears one status the same however it is cut', async () => {
    await server.close();
    const line = JSON.stringify({ ...initial, state: 'sealed', operationId: 'Ünïcode' }) + '\n';
    const slow = createServer((socket) => {
      void (async () => {
        for (const byte of Buffer.from(line)) {
          socket.write(Buffer.of(byte));
          await new Promise(setImmediate);
        }
      })();
    });
    slow.listen(path);
    await once(slow, 'listening');
    await expect((await connectClient()).reached('sealed')).resolves.toMatchObject({ operationId: 'Ünïcode' });
    slow.close();
  });

  test('takes one who speaks otherwise for no pager', async () => {
    await server.close();
    const other = createServer((socket) => socket.end('+OK ready\n'));
    other.listen(path);
    await once(other, 'listening');
    await expect((await connectClient()).reached('sealed')).rejects.toMatchObject({ code: 'PAGER_FAILED' });
    other.close();
  });
});

test('a pager that says nothing is given up after its limit, and one that only repeats itself is not', async () => {
  await server.listen(path);
  const heard = await PagerClient.connect<CaptureStatus>(path, 1_000, () => true, 'wakingPagerNews');
  clients.push(heard);
  const mute = createServer((socket) => sockets.push(socket));
  const silentPath = join(directory, 'mute.sock');
  mute.listen(silentPath);
  await once(mute, 'listening');
  try {
    const silent = await PagerClient.connect<CaptureStatus>(silentPath, 1_000, () => true, 'wakingPagerNews');
    clients.push(silent);
    await expect(silent.reached('sealed')).rejects.toMatchObject({
      code: 'PAGER_FAILED',
      details: { waitedFor: 'wakingPagerNews' },
    });
    server.update({ state: 'sealed' });
    expect(await heard.reached('sealed')).toMatchObject({ state: 'sealed' });
  } finally {
    mute.close();
  }
}, 20_000);
