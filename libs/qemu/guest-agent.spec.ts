import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GuestAgent } from './guest-agent';

/**
 * What a guest that has just woken may have in its buffers cannot be made to order in a real one: here its end of the
 * channel is played. The real agent is asked in test/e2e.
 */
interface Question {
  readonly execute: string;
  readonly arguments: { readonly id?: number; readonly time?: number };
}

let directory: string;
let server: Server;
let agent: GuestAgent;
let answer: (question: Question, channel: Socket) => void;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-agent-'));
  server = createServer((channel) => {
    channel.on('error', () => undefined);
    channel.on('data', (text) => {
      for (const line of String(text).trim().split('\n')) answer(JSON.parse(line) as Question, channel);
    });
  });
  server.listen(join(directory, 'agent.sock'));
  await once(server, 'listening');
  agent = await GuestAgent.connect(join(directory, 'agent.sock'));
});
afterEach(async () => {
  agent.close();
  server.close();
  await rm(directory, { recursive: true, force: true });
});

const say = (channel: Socket, value: unknown): boolean => channel.write(JSON.stringify(value) + '\n');

/** An agent whose clock is `lateMs` behind the time it was given. */
function clockwork(lateMs: (setting: number) => number) {
  let offsetMs = Number.NaN;
  const settings: number[] = [];
  answer = ({ execute, arguments: { id, time } }, channel) => {
    if (execute === 'guest-set-time') {
      settings.push(time! / 1e6);
      offsetMs = time! / 1e6 - lateMs(settings.length) - Date.now();
    }
    const told = { 'guest-sync': id, 'guest-set-time': {}, 'guest-get-time': (Date.now() + offsetMs) * 1e6 }[execute];
    say(channel, { return: told });
  };
  return settings;
}

test('an agent that answers is synchronised with, and sets the guest’s clock to the host’s', async () => {
  const settings = clockwork(() => 0);
  await agent.synchronise(1_000);
  expect(await agent.setClock(1_000)).toBeLessThan(500);
  expect(settings).toHaveLength(1);
  expect(Math.abs(settings[0]! - Date.now())).toBeLessThan(1_000);
});

test('a guest that took long over the time it was given is given it again', async () => {
  const settings = clockwork((setting) => (setting === 1 ? 3_000 : 0));
  expect(await agent.setClock(2_000)).toBeLessThan(500);
  expect(settings).toHaveLength(2);
});

test('a guest whose clock cannot be brought nearer is left with it, and how far it is off is said', async () => {
  const settings = clockwork(() => 700);
  const skewMs = await agent.setClock(2_000);
  expect(skewMs).toBeGreaterThanOrEqual(700);
  expect(skewMs).toBeLessThan(1_500);
  expect(settings).toHaveLength(5);
});

test('answers to questions from before the guest slept are passed over', async () => {
  let asked = 0;
  answer = ({ arguments: { id } }, channel) => {
    if (asked++ === 0) {
      channel.write('n": 12}\n'); // the end of a line whose beginning was read before
      say(channel, { return: 4711 });
      say(channel, { error: { desc: 'the agent is frozen' } });
    }
    say(channel, { return: id });
  };
  await expect(agent.synchronise(2_000)).resolves.toBeUndefined();
});

test('an agent that does not answer is GUEST_UNRESPONSIVE when the patience is over', async () => {
  answer = () => undefined;
  const before = Date.now();
  await expect(agent.synchronise(150)).rejects.toMatchObject({ code: 'GUEST_UNRESPONSIVE' });
  await expect(agent.setClock(50)).rejects.toMatchObject({ code: 'GUEST_UNRESPONSIVE' });
  expect(Date.now() - before).toBeGreaterThanOrEqual(195);
  expect(Date.now() - before).toBeLessThan(1_500);
});

/** An agent that may not set the clock, which is `offMs` off. */
function withoutPermission(offMs: number): void {
  answer = ({ execute }, channel) => {
    const told = { return: (Date.now() + offMs) * 1e6 };
    say(channel, execute === 'guest-get-time' ? told : { error: { desc: 'no permission' } });
  };
}

test('an agent that refuses to set a clock that is wrong says why', async () => {
  withoutPermission(-60_000);
  await expect(agent.setClock(1_000)).rejects.toMatchObject({
    code: 'GUEST_UNRESPONSIVE',
    message: expect.stringMatching(/off by [56]\d{4} ms: no permission/),
  });
});

test('an agent that refuses to set a clock that is right is not asked again', async () => {
  withoutPermission(0);
  expect(await agent.setClock(1_000)).toBeLessThan(500);
});

test('file systems that a backup had frozen are thawed before anything else is asked; others are left alone', async () => {
  const asked: string[] = [];
  let status = 'frozen';
  answer = ({ execute }, channel) => {
    asked.push(execute);
    if (execute === 'guest-fsfreeze-thaw') status = 'thawed';
    say(channel, { return: execute === 'guest-fsfreeze-status' ? status : 1 });
  };
  await agent.thawFileSystems(1_000);
  await agent.thawFileSystems(1_000);
  expect(asked).toEqual(['guest-fsfreeze-status', 'guest-fsfreeze-thaw', 'guest-fsfreeze-status']);
});

test('a channel that cannot be opened is an agent that does not answer', async () => {
  await expect(GuestAgent.connect(join(directory, 'none.sock'))).rejects.toMatchObject({ code: 'GUEST_UNRESPONSIVE' });
});
