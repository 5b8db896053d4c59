import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDormouseError } from '@dormouse/errors';
import { ControlServer, PagerClient, parseAssignment, type CaptureStatus } from '@dormouse/pager-control';
import { GuestAgent, QmpClient } from '@dormouse/qemu';
import fc from 'fast-check';
import { mutatedJson } from './mutated-json';

/**
 * Whatever comes out of a socket, or over a pager's standard input: it is taken, or ends in an error of ours; nothing is
 * thrown where nobody can catch it, nothing waits for ever, nothing is collected without end.
 */

const numRuns = 150;
const status: CaptureStatus = {
  mode: 'capture',
  operationId: 'operation-1',
  state: 'failed',
  error: { code: 'STORAGE_FULL', message: 'no space left', details: { key: 'pack-00001' } },
  peakRssBytes: 1,
  streamBytes: 2,
  arrivedBytes: 9,
  ramBytes: 3,
  storedBytes: 4,
  rawBytes: 5,
  mapBytes: 6,
  wakePackBytes: 7,
  pages: { zero: 8 },
};

let directory: string;
let path: string;
let server: Server | null = null;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-fuzz-'));
  path = join(directory, 'one.sock');
});
afterEach(async () => {
  server?.close();
  server = null;
  await rm(directory, { recursive: true, force: true });
});

/** Somebody at the socket, who does this with everyone who comes. */
async function serve(speak: (client: Socket) => void): Promise<void> {
  server = createServer((client) => {
    client.on('error', () => undefined); // hung up on while it still spoke
    speak(client);
  });
  server.listen(path);
  await once(server, 'listening');
}

/** Resolves with the code of an error of ours, or `fine`. */
const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'fine',
    (error: unknown) => {
      if (!isDormouseError(error)) throw error;
      return error.code;
    },
  );

/** Speaks a line that never ends, until it is hung up on; how much of it was taken. */
function endless(client: Socket): Promise<number> {
  const piece = Buffer.alloc(1024 * 1024, 'x');
  return new Promise((resolve) => {
    const more = (): void => {
      while (!client.destroyed && client.write(piece));
    };
    client.on('drain', more);
    client.on('close', () => resolve(client.bytesWritten));
    more();
  });
}
const mostTaken = 32 * 2 ** 20;

describe('a worker', () => {
  test('takes what a pager says, or takes it for none', async () => {
    let line = '';
    await serve((client) => client.end(line + '\n'));
    await fc.assert(
      fc.asyncProperty(mutatedJson(status), async (said) => {
        line = said;
        const client = await PagerClient.connect<CaptureStatus>(path, 1_000);
        const outcome = await outcomeOf(client.reached('sealed'));
        expect(['fine', 'PAGER_FAILED', 'STORAGE_FULL']).toContain(outcome);
        client.close();
      }),
      { numRuns },
    );
  });

  test('does not listen for ever to a pager whose line does not end', async () => {
    const taken: Promise<number>[] = [];
    await serve((client) => taken.push(endless(client)));
    const client = await PagerClient.connect<CaptureStatus>(path, 1_000);
    await expect(client.reached('sealed')).rejects.toMatchObject({ code: 'PAGER_FAILED' });
    expect(await taken[0]!).toBeLessThan(mostTaken);
  });

  test('takes what QEMU says, or takes it for none', async () => {
    const answers = [
      { id: 2, return: { running: true } },
      { id: 2, error: { class: 'GenericError', desc: 'no' } },
      { event: 'STOP', data: { a: 1 }, timestamp: { seconds: 1, microseconds: 2 } },
    ];
    let line = '';
    await serve((client) => {
      client.write('{"QMP": {}}\n');
      client.once('data', () => {
        client.write('{"id": 1, "return": {}}\n');
        client.once('data', () => client.end(line + '\n'));
      });
    });
    await fc.assert(
      fc.asyncProperty(fc.oneof(...answers.map(mutatedJson)), async (said) => {
        line = said;
        const qmp = await QmpClient.connect(path);
        qmp.onEvent(({ event, atMs }) => expect([typeof event, typeof atMs]).toEqual(['string', 'number']));
        const outcome = await outcomeOf(qmp.execute('query-status'));
        expect(['fine', 'QMP_FAILED', 'QMP_DISCONNECTED']).toContain(outcome);
        qmp.close();
      }),
      { numRuns },
    );
  });

  test('does not listen for ever to a QEMU whose line does not end', async () => {
    const taken: Promise<number>[] = [];
    await serve((client) => taken.push(endless(client)));
    await expect(QmpClient.connect(path)).rejects.toMatchObject({ code: 'QMP_DISCONNECTED' });
    expect(await taken[0]!).toBeLessThan(mostTaken);
  });

  test('takes what a guest’s agent says, or waits no longer than it wanted to', async () => {
    let line = '';
    await serve((client) => client.on('data', () => client.write(line + '\n')));
    await fc.assert(
      fc.asyncProperty(mutatedJson({ return: {}, error: { class: 'x', desc: 'no permission' } }), async (said) => {
        line = said;
        const agent = await GuestAgent.connect(path);
        const before = performance.now();
        expect(['fine', 'GUEST_UNRESPONSIVE']).toContain(await outcomeOf(agent.setClock(20)));
        expect(await outcomeOf(agent.synchronise(20))).toBe('GUEST_UNRESPONSIVE');
        expect(performance.now() - before).toBeLessThan(2_000);
        agent.close();
      }),
      { numRuns },
    );
  });

  test('does not listen for ever to an agent whose line does not end, nor wait for it', async () => {
    const taken: Promise<number>[] = [];
    await serve((client) => taken.push(endless(client)));
    const agent = await GuestAgent.connect(path);
    await expect(agent.synchronise(30_000)).rejects.toMatchObject({ code: 'GUEST_UNRESPONSIVE' });
    expect(await taken[0]!).toBeLessThan(mostTaken);
  });
});

describe('a pager', () => {
  test('takes commands, hangs up on all else, and is there for the next one', async () => {
    const commands: string[] = [];
    const control = new ControlServer(
      status,
      (command) => commands.push(command),
      () => undefined,
    );
    await control.listen(path);
    await fc.assert(
      fc.asyncProperty(mutatedJson({ command: 'leave' }), async (said) => {
        commands.length = 0;
        const socket = connect(path);
        socket.on('error', () => undefined);
        socket.resume().end(said + '\n');
        await once(socket, 'close');
        for (const command of commands) expect(['commit', 'abort', 'leave']).toContain(command);
        const client = await PagerClient.connect<CaptureStatus>(path, 0);
        await expect(client.reached('failed')).resolves.toEqual(status);
        client.close();
      }),
      { numRuns },
    );
    await control.close();
  });

  test('takes an assignment that is one, and refuses all else without telling what was in it', () => {
    const key = Buffer.alloc(32, 7).toString('base64');
    const job = {
      operationId: 'operation-1',
      desktopId: 'ada',
      checkpointId: '0b0e1c1a-0000-4000-8000-000000000001',
      keys: { keyId: 'key-1', dataKey: key, contentKey: key },
      disks: { images: ['/images/a.qcow2'], layers: '/disks/ada' },
    };
    const capture = {
      directory: '/run/ada',
      job: {
        ...job,
        mode: 'capture',
        fingerprint: { machine: 'pc-q35-7.2' },
        diskGeneration: null,
        imageIndexes: ['/images/a.index'],
        previousCheckpointId: null,
        keptGenerations: ['generation-1'],
        wakeSetPages: 100,
      },
    };
    const manner = { wakeSet: true, fill: { least: 1, most: 64 } };
    const serving = { directory: '/run/ada', job: { ...job, mode: 'serve', how: 'lazy', manner } };
    for (const assignment of [capture, serving])
      expect(parseAssignment(JSON.stringify(assignment))).toEqual(assignment);
    fc.assert(
      fc.property(fc.oneof(mutatedJson(capture), mutatedJson(serving)), (text) => {
        try {
          const { directory: where, job: work } = parseAssignment(text);
          expect([typeof where, typeof work.desktopId]).toEqual(['string', 'string']);
          expect(Buffer.from(work.keys.dataKey, 'base64')).toHaveLength(32);
        } catch (error) {
          expect(error).toMatchObject({ code: 'PAGER_FAILED' });
          expect(JSON.stringify([(error as Error).message, (error as Error).cause])).not.toContain(key.slice(0, 10));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
