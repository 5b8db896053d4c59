import { UnwrappedKeys } from './unwrapped-keys';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

const key = Buffer.alloc(32, 7);

test('a key is remembered for its time, and then forgotten', () => {
  const keys = new UnwrappedKeys(1_000);
  keys.remember('a', key);
  jest.advanceTimersByTime(999);
  expect(keys.find('a')).toEqual(key);
  jest.advanceTimersByTime(1);
  expect(keys.find('a')).toBeNull();
});

test('asking for a key does not prolong its time', () => {
  const keys = new UnwrappedKeys(1_000);
  keys.remember('a', key);
  for (let ms = 0; ms < 1_000; ms += 100) {
    expect(keys.find('a')).toEqual(key);
    jest.advanceTimersByTime(100);
  }
  expect(keys.find('a')).toBeNull();
});

test('what was given or taken is a copy: nobody can change what is remembered', () => {
  const keys = new UnwrappedKeys(1_000);
  const given = Buffer.from(key);
  keys.remember('a', given);
  given.fill(0);
  keys.find('a')!.fill(0);
  expect(keys.find('a')).toEqual(key);
});

test('a copy that was taken outlives the forgetting', () => {
  const keys = new UnwrappedKeys(1_000);
  keys.remember('a', key);
  const taken = keys.find('a');
  jest.advanceTimersByTime(1_000);
  expect(taken).toEqual(key);
});
