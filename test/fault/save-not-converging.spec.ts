import { socketNames } from '@dormouse/qemu';
import { runInGuest } from '../guest';
import { slowDown, type SlowedProcess } from '../scenario/slow-process';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';
import type { RunningDormouse } from '../scenario/running-dormouse';

jest.setTimeout(420_000);

const ramMiB = 192;

let bed: TestBed;
let dormouse: RunningDormouse;
beforeEach(async () => {
  bed = await TestBed.make();
});
afterEach(() => bed?.end());

/** A desktop whose guest writes to its memory all the time, and whose pager takes a tenth of what it could. */
async function savedWhileItWrites(limits: object): Promise<RunningDesk & { id: string; pager: SlowedProcess }> {
  dormouse = await bed.start({ SAVE_LIMITS: JSON.stringify(limits) });
  const running = await bed.desktop(dormouse, 'ada', { memoryMiB: ramMiB, fillMiB: 48 });
  const { desk } = running;
  const writes = `sh -c 'while :; do cat /mem/filled > /mem/copy; done' > /dev/null 2>&1 & true`;
  await runInGuest(desk.runDirectory.file(socketNames.agent), writes);
  const { id } = await dormouse.api.command('ada', 'save', { reason: 'its user has left it at work' });
  await desk.until(({ operation }) => operation?.phase === 'capture');
  return { ...running, id, pager: slowDown(await desk.process('pager')) };
}

test('a guest that writes faster than its memory is stored is slowed down until its save ends', async () => {
  const { desk, guest, memory, id, pager } = await savedWhileItWrites({ squeezeAfter: 0.05, giveUpAfter: 100 });
  guest.close();
  try {
    expect(await desk.ended(id)).toMatchObject({ status: 'succeeded', error: null });
  } finally {
    pager.atFullSpeed();
  }
  expect(await desk.command('restore')).toMatchObject({ status: 'succeeded', error: null });
  expect(await memoryOf(await bed.guestOf(desk))).toEqual(memory);
});

test('a save that does not come to an end is given up with its figures, and leaves nothing but a guest that runs on', async () => {
  const { desk, guest, memory, id, pager } = await savedWhileItWrites({ squeezeAfter: 100, giveUpAfter: 0.5 });
  let ended;
  try {
    ended = await desk.ended(id);
  } finally {
    pager.atFullSpeed();
  }
  expect(ended).toMatchObject({ status: 'failed', error: { code: 'NOT_CONVERGING' } });
  const { streamBytes, ramBytes, passes, dirtiedBytesPerSecond } = ended.error!.details as Record<string, number>;
  expect(passes).toBeGreaterThan(1);
  expect(dirtiedBytesPerSecond).toBeGreaterThan(0);
  // One copy of all, half of it again, and what comes between two looks.
  expect(streamBytes).toBeLessThan(1.5 * ramBytes! + 64 * 2 ** 20);
  expect(await memoryOf(guest)).toEqual(memory);
  expect(await desk.view()).toMatchObject({ operation: null });
  expect((await bed.filesBelow('storage')).filter((file) => file.includes('pack'))).toEqual([]);
  const explained = await dormouse.api.explain('ada');
  expect(explained.sentence).toContain('the guest writes to its memory faster than that is stored');
});
