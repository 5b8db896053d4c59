import { DormouseError } from '@dormouse/errors';
import { limits, timedOut, within } from '@dormouse/limits';

afterEach(() => jest.useRealTimers());

test('what comes in time is passed on, and so is its failure', async () => {
  await expect(within('qmpCommand', Promise.resolve(7))).resolves.toBe(7);
  const failure = new DormouseError('QMP_FAILED', 'refused');
  await expect(within('qmpCommand', Promise.reject(failure))).rejects.toBe(failure);
});

test('a wait that ends by its limit says who did not do what, and what may end the work is called', async () => {
  jest.useFakeTimers();
  const onTimeout = jest.fn();
  const waiting = within('qmpCommand', new Promise(() => undefined), { about: 'query-status', onTimeout });
  const ended = expect(waiting).rejects.toMatchObject({
    code: 'MACHINE_SILENT',
    message: 'QEMU did not answer a command within 10 s: query-status',
    details: { waitedFor: 'qmpCommand', limitMs: limits.qmpCommand.ms },
  });
  await jest.advanceTimersByTimeAsync(limits.qmpCommand.ms - 1);
  expect(onTimeout).not.toHaveBeenCalled();
  await jest.advanceTimersByTimeAsync(1);
  await ended;
  expect(onTimeout).toHaveBeenCalledTimes(1);
});

test('a failure that comes after the limit bothers nobody', async () => {
  jest.useFakeTimers();
  let fail: (error: Error) => void = () => undefined;
  const waiting = within('qmpConnect', new Promise((_, reject) => (fail = reject)));
  const ended = expect(waiting).rejects.toMatchObject({ code: 'MACHINE_SILENT' });
  await jest.advanceTimersByTimeAsync(limits.qmpConnect.ms);
  await ended;
  fail(new Error('too late'));
  await jest.advanceTimersByTimeAsync(1);
});

test('without a subject the sentence stands alone', () => {
  expect(timedOut('qmpConnect').message).toBe('QEMU did not take a control connection within 5 s');
});
