import fc from 'fast-check';
import { place, type HostStanding, type PlacementWish } from './placement';

const host = (id: string, traits: Partial<HostStanding> = {}): HostStanding => ({
  id,
  alive: true,
  open: true,
  memoryMiB: 8_192,
  usedMiB: 0,
  qemuVersion: '7.2.22',
  accelerator: 'kvm',
  storage: 's3://desktops',
  disks: 'shared',
  ...traits,
});

const wish = (traits: Partial<PlacementWish> = {}): PlacementWish => ({
  memoryMiB: 1_024,
  lastHostId: 'a',
  staysIfItCan: true,
  hasLayers: true,
  hasCheckpoint: true,
  fingerprint: { qemuVersion: '7.2.22', accelerator: 'kvm', memoryMiB: 1_024 },
  ...traits,
});

test('a machine goes where it was, though others have more room', () => {
  expect(place([host('a', { usedMiB: 7_000 }), host('b')], wish())).toEqual({ hostId: 'a' });
});

test('one that has nothing to go back for goes where most memory is free', () => {
  const hosts = [host('a', { usedMiB: 2_000 }), host('b', { usedMiB: 1_000 }), host('c', { usedMiB: 3_000 })];
  expect(place(hosts, wish({ staysIfItCan: false }))).toEqual({ hostId: 'b' });
});

test.each<[string, Partial<HostStanding>]>([
  ['is full', { usedMiB: 7_169 }],
  ['is cordoned', { open: false }],
  ['is not heard from', { alive: false }],
  ['has another QEMU by now', { qemuVersion: '10.0.2' }],
  ['has lost its KVM', { accelerator: 'tcg' }],
])('it goes elsewhere when its host %s', (_, traits) => {
  expect(place([host('a', traits), host('b', { usedMiB: 6_000 })], wish())).toEqual({ hostId: 'b' });
});

test.each<[string, Partial<HostStanding>, Partial<PlacementWish>]>([
  ['has other disks', { disks: 'its-own' }, {}],
  ['does not say which disks it has', { disks: null }, {}],
  ['has another storage', { storage: 'file:///srv' }, {}],
  ['cannot build its machine', { qemuVersion: '10.0.2' }, {}],
  ['has no room', { usedMiB: 8_000 }, {}],
])('it does not go to a host that %s, and is told why', (_, traits, wanted) => {
  const placed = place([host('a', { alive: false }), host('b', traits)], wish(wanted));
  expect(placed).toEqual({ hostId: null, reasons: { a: 'is not heard from', b: expect.stringMatching(/\w{3}/) } });
});

test('without layers and checkpoint, disks, storage and QEMU of the host before do not matter', () => {
  const stranger = host('b', { disks: null, storage: null, qemuVersion: '10.0.2' });
  const fresh = wish({ hasLayers: false, hasCheckpoint: false });
  expect(place([host('a', { alive: false }), stranger], fresh)).toEqual({ hostId: 'b' });
});

test('a host that says nothing of itself is taken', () => {
  const silent = host('a', { memoryMiB: null, qemuVersion: null, accelerator: null, storage: null, disks: null });
  expect(place([silent], wish())).toEqual({ hostId: 'a' });
});

test('a checkpoint that no host can build the machine of goes to its own host, which says so', () => {
  const upgraded = { qemuVersion: '10.0.2' };
  expect(place([host('a', upgraded), host('b', upgraded)], wish())).toEqual({ hostId: 'a' });
});

test('whatever the hosts are like, the chosen one is heard from, open, has the room and the disks; else each says why', () => {
  const some = fc.record({
    id: fc.constantFrom('a', 'b', 'c', 'd'),
    alive: fc.boolean(),
    open: fc.boolean(),
    memoryMiB: fc.option(fc.integer({ min: 0, max: 4_000 })),
    usedMiB: fc.integer({ min: 0, max: 4_000 }),
    qemuVersion: fc.constantFrom('7.2.22', '10.0.2', null),
    accelerator: fc.constantFrom('kvm', 'tcg', null),
    storage: fc.constantFrom('s', 't', null),
    disks: fc.constantFrom('s', 't', null),
  });
  const wishes = fc.record({
    memoryMiB: fc.integer({ min: 64, max: 2_000 }),
    lastHostId: fc.constantFrom('a', 'b', 'gone', null),
    staysIfItCan: fc.boolean(),
    hasLayers: fc.boolean(),
    hasCheckpoint: fc.boolean(),
    fingerprint: fc.constantFrom(null, { qemuVersion: '7.2.22', accelerator: 'kvm' }),
  });
  fc.assert(
    fc.property(fc.uniqueArray(some, { selector: ({ id }) => id, maxLength: 4 }), wishes, (hosts, wanted) => {
      const placed = place(hosts, wanted);
      if (placed.hostId === null) {
        expect(Object.keys(placed.reasons).sort()).toEqual(hosts.map(({ id }) => id).sort());
        expect(Object.values(placed.reasons)).not.toContain('');
        return;
      }
      const chosen = hosts.find(({ id }) => id === placed.hostId)!;
      const last = hosts.find(({ id }) => id === wanted.lastHostId);
      expect(chosen).toMatchObject({ alive: true, open: true });
      expect(chosen.usedMiB + wanted.memoryMiB).toBeLessThanOrEqual(chosen.memoryMiB ?? Infinity);
      if (wanted.hasLayers && chosen !== last) expect(chosen.disks ?? 'unknown').toBe(last?.disks);
      if (wanted.hasCheckpoint && chosen !== last) expect(chosen.storage ?? 'unknown').toBe(last?.storage);
    }),
  );
});
