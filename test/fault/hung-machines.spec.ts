import { limits } from '@dormouse/limits';
import { identifyProcess } from '@dormouse/process';
import { sendSignal, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

/** QEMUs that hang, as they do on a network file system that does not answer: stopped, not ended. */

jest.setTimeout(300_000);

/** On top of a limit: for a loaded machine, and for the looks of whoever waits. */
const slackMs = 15_000;

let bed: TestBed;
let dormouse: RunningDormouse;
const stopped: number[] = [];
beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start({ HOST_SLOTS: '2/1' });
  await dormouse.api.putPool('default', { graceMs: 60 * 60_000, keepCheckpoints: 2 });
});
afterEach(() => {
  for (const pid of stopped.splice(0)) sendSignal(pid, 'SIGCONT');
});
afterAll(() => bed?.end());

async function hangQemu({ desk }: RunningDesk): Promise<number> {
  const pid = await desk.process('qemu');
  sendSignal(pid, 'SIGSTOP');
  stopped.push(pid);
  return pid;
}

test('a save of a machine that hangs fails and says for what; the slot it had is free, and the guest runs on when QEMU does', async () => {
  const ada = await bed.desktop(dormouse, 'ada');
  const bob = await bed.desktop(dormouse, 'bob');
  const qemu = await hangQemu(ada);
  const beganMs = performance.now();
  const { id } = await dormouse.api.command('ada', 'save', { reason: 'its QEMU hangs' });
  await bed.sleeps(bob);
  const failed = await ada.desk.ended(id);
  expect(performance.now() - beganMs).toBeLessThan(limits.qmpConnect.ms * 2 + limits.qmpCommand.ms + slackMs);
  expect(failed).toMatchObject({ status: 'failed', error: { code: 'MACHINE_SILENT' } });
  expect(await ada.desk.view()).toMatchObject({ state: 'save-failed' });
  expect((await dormouse.api.explain('ada')).hindrances).toContainEqual({
    code: 'MACHINE_SILENT',
    sentence: expect.stringContaining('QEMU did not take a control connection within 5 s'),
  });
  sendSignal(qemu, 'SIGCONT');
  expect(await memoryOf(ada.guest)).toEqual(ada.memory);
  await bed.sleeps(ada);
  expect(await memoryOf((await bed.wakes(ada)).guest)).toEqual(ada.memory);
  await ada.desk.does('stop');
});

test.each(['cancel', 'force'] as const)('a save whose QEMU hangs while it is captured ends soon: %s', async (how) => {
  const id = `hangs-${how}`;
  const one = await bed.desktop(dormouse, id);
  one.guest.close();
  const save = await dormouse.api.command(id, 'save', { reason: 'its QEMU is to hang' });
  await one.desk.until(({ operation }) => operation?.phase === 'capture');
  const pid = await hangQemu(one);
  const beganMs = performance.now();
  if (how === 'cancel') {
    await dormouse.api.cancel(save.id, 'it takes too long').catch(() => undefined);
    const { status } = await one.desk.ended(save.id);
    expect(['cancelled', 'failed']).toContain(status);
    expect(performance.now() - beganMs).toBeLessThan(limits.qmpThaw.ms + limits.qmpCommand.ms * 2 + slackMs);
  }
  const stop = await one.desk.command('stop', { force: true });
  expect(stop).toMatchObject({ status: 'succeeded', error: null });
  expect(performance.now() - beganMs).toBeLessThan(
    limits.qemuQuitForced.ms + limits.overtakenWork.ms + limits.qmpCommand.ms * 3 + slackMs,
  );
  expect(await one.desk.view()).toMatchObject({ state: 'off', operation: null });
  expect(await dormouse.api.operation(save.id)).toMatchObject({ endedAt: expect.any(String) });
  expect(await one.desk.processes()).toEqual([]);
  expect(identifyProcess(pid)).toBeNull();
  await one.desk.start(); // nothing of it is in the way
  await one.desk.does('stop', { force: true });
});

test('a stop by force ends a wake that hangs, and the desktop wakes from its checkpoint after it', async () => {
  const cleo = await bed.desktop(dormouse, 'cleo');
  await bed.sleeps(cleo);
  const { id } = await dormouse.api.command('cleo', 'restore', { reason: 'its QEMU is to hang' });
  await hangQemu(cleo);
  const stop = await cleo.desk.command('stop', { force: true });
  expect(stop).toMatchObject({ status: 'succeeded', error: null });
  expect(await cleo.desk.ended(id)).toMatchObject({ status: 'cancelled' });
  const { state } = await cleo.desk.view();
  expect(['saved', 'restore-blocked']).toContain(state);
  expect(await cleo.desk.processes()).toEqual([]);
  expect(await memoryOf((await bed.wakes(cleo)).guest)).toEqual(cleo.memory);
});
