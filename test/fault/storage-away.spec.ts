import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { S3Gate, s3Url, startS3Server, type S3Server } from '../contract/s3-server';
import { memoryOf, TestBed } from '../scenario/test-bed';

jest.setTimeout(240_000);

/** Nothing comes for so long but what is asked for, and its pager reads 64 MiB ahead: the storage goes while the guest needs it. */
const restMs = 5_000;
const awayMs = 8_000;
const manner = { WAKE_MANNER: JSON.stringify({ restMs, longestMs: restMs, wakeSet: false }) };

let bed: TestBed;
let s3: S3Server | undefined;
let gate: S3Gate | undefined;
beforeEach(async () => {
  bed = await TestBed.make();
});
afterEach(async () => {
  await gate?.close();
  await s3?.stop();
  await bed?.end();
  gate = s3 = undefined;
});

/** A storage that can go away and come back. */
interface Storage {
  readonly settings: Readonly<Record<string, string>>;
  goes(): Promise<void>;
  comesBack(): Promise<void>;
}

const storages: Readonly<Record<string, () => Promise<Storage>>> = {
  'a directory that is no longer mounted': async () => {
    const directory = join(bed.dataDir, 'storage');
    return {
      settings: {},
      goes: () => rename(directory, `${directory}.away`),
      comesBack: () => rename(`${directory}.away`, directory),
    };
  },
  'an object store that answers nobody': async () => {
    s3 = await startS3Server(join(bed.dataDir, 'bucket'));
    gate = await S3Gate.open(s3.port);
    const answers = gate;
    return {
      settings: { STORAGE_URL: s3Url(gate.port) },
      goes: async () => void (answers.decide = () => ({ status: 503, code: 'ServiceUnavailable' })),
      comesBack: async () => void (answers.decide = () => 'pass'),
    };
  },
};

test.each(Object.keys(storages))(
  'while memory comes the storage goes away, %s: the guest waits, it is said for what, and goes on when the storage is back',
  async (kind) => {
    const storage = await storages[kind]!();
    const dormouse = await bed.start({ ...manner, ...storage.settings });
    const ada = await bed.desktop(dormouse, 'ada', { memoryMiB: 320, fillMiB: 160 });
    const { desk, memory } = ada;
    await bed.sleeps(ada);
    const { id } = await dormouse.api.command('ada', 'restore', { reason: 'its storage is to go away' });
    await desk.until(({ state }) => state === 'hydrating');
    await storage.goes();
    const goneSinceMs = performance.now();

    const guest = await desk.guest();
    const sum = guest.sum(); // asks for every page, and waits
    await desk.until(({ operation }) => typeof operation?.progress['waitingForStorage'] === 'string');
    const { sentence, hindrances } = await dormouse.api.explain('ada');
    expect(hindrances).toContainEqual({ code: 'STORAGE_FAILED', sentence: expect.any(String) });
    expect(sentence).toMatch(/Its memory waits for the storage, .* tried again all the time: /);
    await sleep(awayMs - (performance.now() - goneSinceMs));
    expect(await desk.view()).toMatchObject({ state: 'hydrating', lastError: null });

    await storage.comesBack();
    expect(await sum).toBe(memory.sum);
    expect(await desk.ended(id)).toMatchObject({
      status: 'succeeded',
      error: null,
      progress: { waitingForStorage: null },
    });
    expect(await memoryOf(guest)).toEqual(memory);
    guest.close();
  },
);
