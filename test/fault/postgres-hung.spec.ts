import { processesOf, sendSignal, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

/** A Postgres that hangs: not gone, but silent, as on a disk that does not answer. */

jest.setTimeout(240_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let ada: RunningDesk;
let postgres: readonly number[] = [];

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  await dormouse.api.putPool('default', { graceMs: 60 * 60_000, keepCheckpoints: 2 });
  ada = await bed.desktop(dormouse, 'ada', { memoryMiB: 128, fillMiB: 16 });
  postgres = (await processesOf(dormouse.dataDir))
    .filter(({ command }) => /postgres/.test(command))
    .map(({ pid }) => pid);
});
afterEach(() => goOn());
afterAll(() => bed?.end());

function goOn(): void {
  for (const pid of postgres) sendSignal(pid, 'SIGCONT');
}

const unavailable = { code: 'SERVICE_UNAVAILABLE' };

test('requests and webhooks are answered with 503 while it hangs, more of them than there are connections; then all goes on', async () => {
  expect(postgres.length).toBeGreaterThan(0);
  for (const pid of postgres) sendSignal(pid, 'SIGSTOP');
  const { api } = dormouse;
  const asked = [
    ...Array.from({ length: 30 }, () => api.desktop('ada')),
    api.operationsOf('ada'),
    api.putPool('other', { graceMs: 60_000, keepCheckpoints: 2 }),
    api.command('ada', 'save', { reason: 'while Postgres hangs' }),
    ada.desk.broker('connected'),
  ];
  const answers = await Promise.allSettled(asked);
  for (const answer of answers) expect(answer).toMatchObject({ status: 'rejected', reason: unavailable });
  const ready = await fetch(`${dormouse.url}/readyz`);
  expect(ready.status).toBe(503);
  expect((await fetch(`${dormouse.url}/healthz`)).status).toBe(200);
  expect(await memoryOf(ada.guest)).toEqual(ada.memory); // its guest knows nothing of it

  goOn();
  const desktop = await untilServed();
  expect(['running', 'grace']).toContain(desktop.state);
  await ada.desk.broker('connected', 'seat', { sequence: 1 }); // as a broker sends again what was not taken
  expect((await ada.desk.view()).presence).toMatchObject({ occupancy: 'present', connections: ['seat'] });
});

/** Connections that were given up are made anew with the next request. */
async function untilServed() {
  for (;;) {
    try {
      return await ada.desk.view();
    } catch (error) {
      expect(error).toMatchObject(unavailable);
    }
  }
}
