import { setTimeout as sleep } from 'node:timers/promises';
import { onceIn } from './once-in';

test('however many ask, the work is done once, and again when its answer is old', async () => {
  let done = 0;
  const ask = onceIn(50, async () => {
    await sleep(20);
    return (done += 1);
  });
  expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1]);
  expect(await ask()).toBe(1);
  await sleep(80);
  expect(await ask()).toBe(2);
});

test('a failure is told to those who have asked for it, and tried again later', async () => {
  let done = 0;
  const ask = onceIn(10, async () => {
    done += 1;
    if (done === 1) throw new Error('not now');
    return done;
  });
  const asked = [ask(), ask()];
  for (const one of asked) await expect(one).rejects.toThrow('not now');
  await sleep(30);
  expect(await ask()).toBe(2);
});
