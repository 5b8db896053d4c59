import type { RunningDormouse } from '../scenario';
import { Desk } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(240_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let bob: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start({ HOST_SLOTS: '1/1' });
  await dormouse.api.putPool('default', { graceMs: 60 * 60_000, keepCheckpoints: 2 });
  bob = await bed.desktop(dormouse, 'bob', { memoryMiB: 128, fillMiB: 16 });
});
afterAll(() => bed?.end());

/** Its kernel finds no init, and stops: nobody is there who could answer. */
function withoutAgent(): Parameters<Desk['register']>[0] {
  const spec = bed.launchSpec(128) as { kernel: { commandLine: string } };
  return { ...spec, kernel: { ...spec.kernel, commandLine: `${spec.kernel.commandLine} rdinit=/none root=/dev/none` } };
}

test('a guest whose agent is mute keeps the only slot of its host from nobody: another is saved and wakes while it is waited for', async () => {
  const mute = new Desk(dormouse, 'mute');
  await mute.register(withoutAgent());
  const { id } = await dormouse.api.command('mute', 'start', { reason: 'it will never answer' });
  await mute.until(({ operation }) => operation?.phase === 'answer');
  await bed.sleeps(bob);
  bob = await bed.wakes(bob);
  expect(await memoryOf(bob.guest)).toEqual(bob.memory);
  expect(await dormouse.api.operation(id)).toMatchObject({ status: 'active', phase: 'answer' });
  await mute.does('stop', { force: true });
  expect(await dormouse.api.operation(id)).toMatchObject({ status: 'cancelled' });
});
