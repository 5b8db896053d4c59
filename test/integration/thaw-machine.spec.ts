import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { QmpClient, thawMachine } from '@dormouse/qemu';
import { qemuBinaries } from '../qemu';

/** A guest comes back from wherever a save has left it, and its disk with it. */

/** Devices whose state is no less than a desktop's. */
const devices = Array.from({ length: 4 }, () => ['-device', 'virtio-serial-pci']).flat();
const machine = [
  ...['-machine', 'pc-q35-7.2,accel=tcg', '-m', '64', '-nodefaults', '-display', 'none', '-S'],
  ...['-blockdev', 'driver=null-co,node-name=disk,size=1048576', '-device', 'virtio-blk-pci,drive=disk'],
  ...devices,
];

let directory: string;
let qemu: ChildProcess;
let qmp: QmpClient;
let server: Server;
/** Takes in what QEMU sends. */
let reader: Socket;

async function startQemu(program: string): Promise<void> {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-thaw-'));
  const socket = join(directory, 'qmp.sock');
  qemu = spawn(program, [...machine, '-qmp', `unix:${socket},server=on,wait=off`], { stdio: 'ignore' });
  for (;;) {
    try {
      qmp = await QmpClient.connect(socket);
      break;
    } catch (error) {
      if (qemu.exitCode !== null) throw error;
      await sleep(10);
    }
  }
  server = createServer((stream) => (reader = stream.resume().on('error', () => undefined)));
  server.listen(join(directory, 'stream.sock'));
  await once(server, 'listening');
}

afterEach(async () => {
  qmp.close();
  server.close();
  if (qemu.exitCode === null && qemu.signalCode === null) {
    qemu.kill('SIGKILL');
    await once(qemu, 'exit');
  }
  await rm(directory, { recursive: true, force: true });
});

async function migrate(bytesPerSecond = 2 ** 30): Promise<void> {
  await qmp.execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'pause-before-switchover', state: true }],
  });
  await qmp.execute('migrate-set-parameters', { 'max-bandwidth': bytesPerSecond });
  await qmp.execute('migrate', { uri: `unix:${directory}/stream.sock` });
}

async function migration(): Promise<string> {
  return (await qmp.execute<{ status: string }>('query-migrate')).status;
}

async function reached(wanted: string): Promise<void> {
  while ((await migration()) !== wanted) await sleep(5);
}

async function switchOver(): Promise<void> {
  await migrate();
  await reached('pre-switchover');
  await qmp.execute('migrate-continue', { state: 'pre-switchover' });
}

async function expectRunning(): Promise<void> {
  expect(await qmp.execute('query-status')).toMatchObject({ running: true });
}

/** QEMU ends when it is to let go of a disk that it has let go of already (docs/qemu.md). */
async function expectDiskInUse(): Promise<void> {
  await switchOver();
  await reached('completed');
  await thawMachine(qmp);
  await expectRunning();
}

describe.each(qemuBinaries())('with %s', (program) => {
  beforeEach(() => startQemu(program));

  test('runs one that is paused, and leaves one that runs alone', async () => {
    await thawMachine(qmp);
    await expectRunning();
    await thawMachine(qmp);
    await expectRunning();
  });

  test('cancels a migration on its way', async () => {
    await qmp.execute('cont');
    await migrate(10_000); // it will not get far
    await reached('active');
    await thawMachine(qmp);
    await expectRunning();
    expect(await migration()).toBe('cancelled');
    await expectDiskInUse();
  });

  test('brings back a guest that was frozen for its switchover', async () => {
    await qmp.execute('cont');
    await migrate();
    await reached('pre-switchover');
    expect(await qmp.execute('query-status')).toMatchObject({ running: false });
    await thawMachine(qmp);
    await expectRunning();
    await expectDiskInUse();
  });

  test('brings back a guest whose memory has left to the last byte', async () => {
    await qmp.execute('cont');
    await switchOver();
    await reached('completed');
    await thawMachine(qmp);
    await expectRunning();
    await expectDiskInUse();
  });

  // What QEMU 7.2 does when it is called off in this moment depends on a few microseconds.
  test('brings back a guest whose save fails while it switches over, a hundred times', async () => {
    await qmp.execute('cont');
    for (let n = 0; n < 100; n++) {
      await migrate();
      await reached('pre-switchover');
      reader.destroy();
      const continued = qmp.execute('migrate-continue', { state: 'pre-switchover' });
      if (n % 2 === 0) await continued;
      await thawMachine(qmp, { switchesOver: true });
      await continued;
      await expectRunning();
      await expectDiskInUse();
    }
  });
});
