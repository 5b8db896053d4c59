import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { S3Gate, s3Url, startS3Server, type S3Server } from '../contract/s3-server';
import { memoryOf, TestBed } from '../scenario/test-bed';

jest.setTimeout(240_000);

/** Long enough for the guest's clock to be wrong. */
const standstillMs = 3_000;

let bed: TestBed;
let s3: S3Server;
let gate: S3Gate;
beforeEach(async () => {
  bed = await TestBed.make();
  s3 = await startS3Server(join(bed.dataDir, 'bucket'));
  gate = await S3Gate.open(s3.port);
});
afterEach(async () => {
  await gate?.close();
  await s3?.stop();
  await bed?.end();
});

/** What is stored last, with the guest frozen, and the phase of the save that waits for it. */
const last = [
  ['page-map', 'switchover'],
  ['manifest', 'commit'],
] as const;

test.each(last)(
  'a user who returns while the storage says nothing to the %s of a frozen guest has it back, and is not kept waiting for the storage',
  async (object, phase) => {
    const dormouse = await bed.start({ STORAGE_URL: s3Url(gate.port) });
    const ada = await bed.desktop(dormouse, 'ada');
    const { desk, guest, memory } = ada;
    let held = false;
    gate.decide = (operation, path) => {
      if (!(operation.startsWith('PUT') && path.endsWith(`/${object}`))) return 'pass';
      held = true;
      return 'silence';
    };
    const { id } = await dormouse.api.command('ada', 'save', { reason: 'its storage is to fall silent' });
    await desk.until(({ operation }) => held && operation?.phase === phase);
    await sleep(standstillMs);

    await desk.broker('connected');
    // The storage's own patience would end it as failed, after minutes.
    expect(await desk.ended(id)).toMatchObject({ status: 'cancelled' });
    expect(await desk.view()).toMatchObject({ state: 'running' });
    const askedMs = Date.now();
    expect(await guest.timeMs()).toBeGreaterThan(askedMs - standstillMs / 2);
    expect(await memoryOf(guest)).toEqual(memory);

    gate.decide = () => 'pass';
    await desk.broker('disconnected');
    await bed.sleeps(ada);
    expect(await memoryOf((await bed.wakes(ada)).guest)).toEqual(memory);
  },
);
