import { capsHeld, capsNeeded } from './caps';
import { happeningsOf } from './happenings-fixture';
import { World } from './world-fixture';

test('a wake needs room to wake and to run, a save room to be saved, a stop none', () => {
  expect(capsNeeded({ kind: 'boot', phase: 'boot' })).toEqual(['running', 'waking']);
  expect(capsNeeded({ kind: 'restore', phase: 'place' })).toEqual(['running', 'waking']);
  expect(capsNeeded({ kind: 'register', phase: 'examine' })).toEqual(['waking']);
  expect(capsNeeded({ kind: 'save', phase: 'queued' })).toEqual(['saving']);
  expect(capsNeeded({ kind: 'stop', phase: 'stop' })).toEqual([]);
});

test('whatever happens, a desktop holds what its operation needed, and gives it back when that is over', () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 3_000; seed += 1) {
    const world = new World();
    for (const next of happeningsOf(seed)) {
      world.happens(next);
      const { machine, operation } = world.session;
      const held = capsHeld(world.session);
      seen.add(`${machine}: ${held.join(' ')}`);
      if (operation?.status === 'active') expect(held).toEqual(expect.arrayContaining([...stillNeeded(world)]));
      else expect(held.filter((cap) => cap !== 'running')).toEqual([]);
    }
  }
  expect(seen).toContain('hydrating: running');
  expect(seen).toContain('restoring: ');
  expect(seen).toContain('restoring: running waking');
  expect(seen).toContain('queued: running');
  expect(seen).toContain('saving: running saving');
  expect(seen).toContain('saved: ');
});

function stillNeeded({ session }: World): readonly string[] {
  return session.operation === null ? [] : capsNeeded(session.operation);
}
