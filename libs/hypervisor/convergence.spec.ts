import { convergenceOf, usualSaveLimits } from './convergence';

const MiB = 2 ** 20;
const ramBytes = 1_024 * MiB;
const after = (againMiB: number, sinceMs = 0, ram = ramBytes) =>
  convergenceOf({ ramBytes: ram, againBytes: againMiB * MiB, sinceMs }, usualSaveLimits);

test('a guest is slowed down when a quarter of its memory has come again, and its save given up when two memories have', () => {
  expect(after(256)).toBe('goes on');
  expect(after(257)).toBe('squeeze');
  expect(after(2_048)).toBe('squeeze');
  expect(after(2_049)).toBe('give up');
});

test('a save ends in time, however little comes', () => {
  expect(after(0, 74_999)).toBe('goes on');
  expect(after(0, 75_000)).toBe('squeeze');
  expect(after(0, 300_000)).toBe('give up');
});

test('a small guest is not slowed down for what is stored in a moment', () => {
  expect(after(32, 0, 64 * MiB)).toBe('goes on');
  expect(after(33, 0, 64 * MiB)).toBe('squeeze');
  expect(after(129, 0, 64 * MiB)).toBe('give up');
});
