import type { ErrorCode } from '@dormouse/errors';
import { hostChecks, type SeenHost } from './host-checks';

const host = (changes: Partial<SeenHost> = {}): SeenHost => ({
  alive: true,
  intent: 'open',
  machines: 0,
  troubles: [],
  capabilities: { storage: 's' },
  ...changes,
});

const trouble = (part: 'storage' | 'disks', code: ErrorCode) => ({
  part,
  code,
  message: '/srv/secret of ada',
  since: '2030-01-01T00:00:00.000Z',
});

const up = { state: 'up' } as const;

test('hosts that are heard and well are up, and so is their storage', () => {
  expect(hostChecks([host(), host()])).toEqual({ storage: up, hosts: up });
});

test('without a host that is heard nothing can be done, and of the storage nothing is known', () => {
  for (const hosts of [[], [host({ alive: false })], [host({ intent: 'fenced' })]]) {
    expect(hostChecks(hosts)).toMatchObject({ storage: { state: 'degraded' }, hosts: { state: 'down' } });
  }
});

test('a storage is down when no host can use it, and degraded when one can', () => {
  const broken = host({ troubles: [trouble('storage', 'STORAGE_FULL')] });
  expect(hostChecks([broken, broken])).toMatchObject({ storage: { state: 'down' }, hosts: up });
  expect(hostChecks([broken, host()])).toMatchObject({ storage: { state: 'degraded' }, hosts: up });
});

test('hosts with different storages are told to have the same', () => {
  const other = host({ capabilities: { storage: 'other' } });
  expect(hostChecks([host(), other]).storage).toMatchObject({
    state: 'degraded',
    reason: expect.stringContaining('STORAGE_URL'),
  });
});

test('a silent host matters while machines may run there, and one that nobody needs does not', () => {
  expect(hostChecks([host(), host({ alive: false, machines: 1 })]).hosts).toMatchObject({ state: 'degraded' });
  expect(hostChecks([host(), host({ alive: false })]).hosts).toEqual(up);
});

test('a full directory and hosts that take no machines are told', () => {
  const full = host({ troubles: [trouble('disks', 'DIRECTORY_UNUSABLE')] });
  expect(hostChecks([host(), full]).hosts).toMatchObject({ state: 'degraded' });
  expect(hostChecks([host({ intent: 'draining' })]).hosts).toMatchObject({ state: 'degraded' });
});

test('a reason is a line that says what to do, and names nobody and no path', () => {
  const troubled = host({ troubles: [trouble('storage', 'STORAGE_FAILED'), trouble('disks', 'DIRECTORY_UNUSABLE')] });
  for (const check of Object.values(hostChecks([troubled]))) {
    const { reason } = check as { reason: string };
    expect(reason).toMatch(/^[^\n]+`dormouse host list` says more$/);
    expect(reason).not.toMatch(/srv|ada/);
  }
});
