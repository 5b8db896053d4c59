import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectToQemu } from './connect-to-qemu';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-connect-'));
  path = join(directory, 'incoming.sock');
});

afterEach(() => rm(directory, { recursive: true, force: true }));

/** Listens in a process of its own, and is killed: nobody removes the socket. */
async function leaveSocket(): Promise<void> {
  const listening = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('listens'))`;
  const child = spawn(process.execPath, ['-e', listening], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}

test('who listens a little later is waited for', async () => {
  const connecting = connectToQemu(path);
  await sleep(400);
  const server = createServer().listen(path);
  const socket = await connecting;
  socket.destroy();
  server.close();
});

test('a socket left by one that is gone is not waited at for long', async () => {
  await leaveSocket();
  const beganMs = performance.now();
  await expect(connectToQemu(path)).rejects.toMatchObject({
    code: 'MIGRATION_FAILED',
    message: expect.stringMatching(/ended/),
  });
  expect(performance.now() - beganMs).toBeLessThan(10_000);
});
