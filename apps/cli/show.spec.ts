import type { EtaView, OperationView } from '@dormouse/views';
import { showOperation } from './show';

const now = new Date('2030-07-01T08:00:00Z');
const operation = {
  id: 'o',
  desktopId: 'ada',
  kind: 'restore',
  status: 'active',
  phase: 'hydrate',
  phaseSince: '2030-07-01T07:59:58Z',
  reason: 'test',
  requestedBy: 'broker',
  progress: {},
  result: null,
  error: null,
} as unknown as OperationView;
const eta: EtaView = {
  readyMs: 0,
  doneMs: 12_400,
  spread: { leastMs: 9_000, mostMs: 15_000 },
  learnedFrom: 5,
  of: 'desktop',
};

test('an operation says how many bytes are done, what is still to come, and how that is known', () => {
  const progress = { doneBytes: 384 * 2 ** 20, totalBytes: 1_024 * 2 ** 20 };
  const shown = showOperation({ ...operation, progress, eta }, now);
  expect(shown).toMatch(/moved +384 of 1024 MiB/);
  expect(shown).toMatch(/expected +done in about 12 s \(as 5 before it, which took 9.0 s to 15 s\)/);
});

test.each<[string, EtaView]>([
  [
    'answers in about 0.9 s, done in about 10 s (as 1 of other desktops of its pool)',
    { readyMs: 900, doneMs: 10_000, spread: null, learnedFrom: 1, of: 'pool' },
  ],
  ['done in about 3.0 s (at its own pace)', { readyMs: 0, doneMs: 3_000, spread: null, learnedFrom: 0, of: null }],
])('%s', (words, expected) => {
  expect(showOperation({ ...operation, eta: expected }, now)).toContain(words);
});

test('what is not known is not said', () => {
  const unknown = { readyMs: null, doneMs: null, spread: null, learnedFrom: 0, of: null };
  expect(showOperation({ ...operation, eta: unknown }, now)).not.toMatch(/expected|moved/);
  expect(showOperation(operation, now)).not.toMatch(/expected|moved/);
});
