import { defaultPoolPolicy, parsePoolPolicy } from './pool-policy';

test('a policy is read back as it was given', () => {
  const policy = { graceMs: 0, keepCheckpoints: 3, keepCheckpointsForMs: 86_400_000, minResidencyMs: 5_000 };
  expect(parsePoolPolicy(policy)).toEqual(policy);
  expect(parsePoolPolicy(defaultPoolPolicy)).toEqual(defaultPoolPolicy);
});

test.each([
  ['graceMs', { keepCheckpoints: 2 }],
  ['graceMs', { graceMs: -1, keepCheckpoints: 2 }],
  ['graceMs', { graceMs: Number.NaN, keepCheckpoints: 2 }],
  ['keepCheckpoints', { graceMs: 1, keepCheckpoints: 0 }],
  ['keepCheckpointsForMs', { graceMs: 1, keepCheckpoints: 1, keepCheckpointsForMs: -1 }],
  ['minResidencyMs', { graceMs: 1, keepCheckpoints: 1, minResidencyMs: '5' }],
  ['graceSeconds', { graceMs: 1, keepCheckpoints: 1, graceSeconds: 5 }],
])('a policy with a bad or unknown %s is refused by name', (field, policy) => {
  expect(() => parsePoolPolicy(policy)).toThrow(
    expect.objectContaining({ code: 'REQUEST_INVALID', details: { field } }),
  );
});

test('what is no object is refused', () => {
  for (const value of [null, [], 'x', 3]) expect(() => parsePoolPolicy(value)).toThrow('a pool policy is an object');
});
