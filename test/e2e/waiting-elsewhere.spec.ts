import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../integration/jobs-fixture';
import { guestOn, startWorkerOf } from '../scenario/another-host';
import { TestBed } from '../scenario/test-bed';

jest.setTimeout(240_000);

let bed: TestBed;
beforeAll(async () => {
  bed = await TestBed.make();
});
afterAll(() => bed?.end());

test('a desktop that has woken on another host leaves no machine in waiting on the first', async () => {
  const dormouse = await bed.start({ HOST_ID: 'first' });
  const ada = await bed.desktop(dormouse, 'ada', { memoryMiB: 128, fillMiB: 8 });
  await bed.sleeps(ada);
  const waiting = (): Promise<string[]> => readdir(join(bed.dataDir, 'run', '.waiting'));
  await eventually(async () => (await waiting()).length === 1, 30_000);

  await startWorkerOf(dormouse, 'second');
  await dormouse.api.changeHost('first', 'cordon', 'the desktop is to wake elsewhere');
  expect(await ada.desk.does('restore')).toMatchObject({ hostId: 'second' });
  await eventually(async () => (await waiting()).length === 0, 30_000);
  (await guestOn(dormouse, 'second', 'ada')).close();
});
