import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDormouseError } from '@dormouse/errors';
import { QmpClient, type QmpEvent } from './qmp-client';

let directory: string;
let socket: string;
let qemu: ChildProcess;
let qmp: QmpClient;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-qmp-'));
  socket = join(directory, 'qmp.sock');
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function startQemu(...args: string[]): Promise<void> {
  const all = ['-nodefaults', '-display', 'none', '-S', '-qmp', `unix:${socket},server=on,wait=off`, ...args];
  qemu = spawn('qemu-system-x86_64', all, { stdio: 'ignore' });
  for (;;) {
    try {
      qmp = await QmpClient.connect(socket);
      return;
    } catch (error) {
      if (!isDormouseError(error, 'QMP_DISCONNECTED') || qemu.exitCode !== null) throw error;
    }
    await sleep(10);
  }
}

async function endQemu(): Promise<void> {
  qmp.close();
  if (qemu.exitCode !== null || qemu.signalCode !== null) return;
  qemu.kill('SIGKILL');
  await once(qemu, 'exit');
}

describe('a QEMU without a machine', () => {
  beforeEach(() => startQemu('-machine', 'none'));
  afterEach(endQemu);

  test('answers a command', async () => {
    await expect(qmp.execute('query-status')).resolves.toMatchObject({ running: false });
    await expect(qmp.execute('query-version')).resolves.toMatchObject({ qemu: { major: expect.any(Number) } });
  });

  test('that hangs ends a command by its limit, and a connection too; once it is back it answers', async () => {
    qemu.kill('SIGSTOP');
    try {
      await expect(qmp.execute('query-status', {}, 'qmpThaw')).rejects.toMatchObject({
        code: 'MACHINE_SILENT',
        details: { waitedFor: 'qmpThaw' },
      });
      // It serves one at a time, so the second is not greeted; the third does not even fit into its queue.
      for (let nth = 0; nth < 3; nth++) {
        await expect(QmpClient.connect(socket, 'qmpThaw')).rejects.toMatchObject({ code: 'MACHINE_SILENT' });
      }
    } finally {
      qemu.kill('SIGCONT');
    }
    await expect(qmp.execute('query-status')).resolves.toMatchObject({ running: false });
  });

  test('answers many commands at once, each with its own answer', async () => {
    const names = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        n % 2 === 0
          ? qmp.execute<object>('query-status').then((answer) => 'running' in answer)
          : qmp.execute<object>('query-version').then((answer) => 'qemu' in answer),
      ),
    );
    expect(names).toEqual(names.map(() => true));
  });

  test('says why it refuses a command, and goes on', async () => {
    await expect(qmp.execute('no-such-command')).rejects.toMatchObject({
      code: 'QMP_FAILED',
      message: expect.stringContaining('no-such-command'),
      details: { class: 'CommandNotFound' },
    });
    await expect(qmp.execute('object-del', { id: 'nothing' })).rejects.toMatchObject({ code: 'QMP_FAILED' });
    await expect(qmp.execute('query-status')).resolves.toBeDefined();
  });

  test('takes a command beside its main loop', async () => {
    // Refused for its sense, not for how it was asked: nothing migrates here.
    await expect(qmp.executeOutOfBand('migrate-pause')).rejects.toMatchObject({ details: { class: 'GenericError' } });
    await expect(qmp.executeOutOfBand('query-status')).rejects.toMatchObject({
      code: 'QMP_FAILED',
      message: expect.stringContaining('OOB'),
    });
  });

  test('tells its events, with the time it happened, to whoever still listens', async () => {
    const heard: QmpEvent[] = [];
    const stop = qmp.onEvent((event) => heard.push(event));
    const deaf: QmpEvent[] = [];
    qmp.onEvent((event) => deaf.push(event))();
    const before = Date.now();
    await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
    const failToMigrate = async (): Promise<void> => {
      const failed = new Promise<void>((resolve) =>
        qmp.onEvent(({ data }) => (data['status'] === 'failed' ? resolve() : undefined)),
      );
      await qmp.execute('migrate', { uri: `unix:${directory}/nobody` }).catch(() => undefined);
      await failed;
    };
    await failToMigrate();
    const seen = heard.length;
    expect(heard.map(({ event, data }) => [event, data['status']])).toContainEqual(['MIGRATION', 'failed']);
    expect(heard[0]!.atMs).toBeGreaterThan(before - 1_000);
    expect(heard[0]!.atMs).toBeLessThan(Date.now() + 1_000);
    expect(deaf).toEqual([]);
    stop();
    await failToMigrate();
    expect(heard).toHaveLength(seen);
  });

  test('that dies ends the commands on their way and all that come later, and says so to all who asked', async () => {
    const closed: string[] = [];
    qmp.onClose((error) => closed.push(error.code));
    qemu.kill('SIGSTOP'); // it will answer nothing any more
    const pending = [qmp.execute('query-status'), qmp.execute('query-version')];
    await sleep(50);
    qemu.kill('SIGKILL');
    for (const { status, reason } of (await Promise.allSettled(pending)) as PromiseRejectedResult[]) {
      expect([status, (reason as { code: string }).code]).toEqual(['rejected', 'QMP_DISCONNECTED']);
    }
    await expect(qmp.execute('query-status')).rejects.toMatchObject({ code: 'QMP_DISCONNECTED' });
    expect(closed).toEqual(['QMP_DISCONNECTED']);
    qmp.onClose((error) => closed.push(`${error.code}, later`));
    expect(closed).toEqual(['QMP_DISCONNECTED', 'QMP_DISCONNECTED, later']);
  });

  test('that was let go of ends the commands on their way, and serves the next who comes', async () => {
    const pending = expect(qmp.execute('query-status')).rejects.toMatchObject({ code: 'QMP_DISCONNECTED' });
    qmp.close();
    await pending;
    qmp = await QmpClient.connect(socket);
    await expect(qmp.execute('query-status')).resolves.toBeDefined();
  });

  test('serves one client at a time: the second is answered when the first lets go', async () => {
    let greeted = false;
    const second = QmpClient.connect(socket).then((client) => {
      greeted = true;
      return client;
    });
    await sleep(100);
    expect(greeted).toBe(false);
    qmp.close();
    qmp = await second;
    await expect(qmp.execute('query-status')).resolves.toBeDefined();
  });
});

test('nobody at the socket is QMP_DISCONNECTED, naming it', async () => {
  await expect(QmpClient.connect(socket)).rejects.toMatchObject({ code: 'QMP_DISCONNECTED', details: { socket } });
});

test.each([
  ['hangs up at once', ''],
  ['says something else than QMP', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['says JSON that is no message', 'null\n7\n"QMP"\n'],
])('one at the socket that %s is QMP_DISCONNECTED', async (_, greeting) => {
  const server = createServer((client) => client.end(greeting));
  server.listen(socket);
  await once(server, 'listening');
  await expect(QmpClient.connect(socket)).rejects.toMatchObject({ code: 'QMP_DISCONNECTED' });
  server.close();
});
