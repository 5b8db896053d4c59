import fc from 'fast-check';
import { desktopOfSafeName, safeName } from './safe-name';

test('ids of lower-case letters, digits and hyphens are their own names: what is stored of them stays where it is', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/), (id) => {
      expect(safeName(id)).toBe(id);
    }),
  );
});

test('a name is safe as a file, an object and a queue, is nobody else’s, and leads back to its desktop', () => {
  const ids = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/);
  fc.assert(
    fc.property(ids, ids, (one, other) => {
      expect(safeName(one)).toMatch(/^[a-z0-9_~-]{1,200}$/);
      expect(desktopOfSafeName(safeName(one))).toBe(one);
      if (one !== other) expect(safeName(one).toLowerCase()).not.toBe(safeName(other).toLowerCase());
    }),
  );
});

test('names of ours stay as they are, and are no desktop’s', () => {
  for (const name of ['.images', '.examine-vdi_01', '.pagers.log']) {
    expect(safeName(name)).toBe(name);
    expect(desktopOfSafeName(name)).toBeNull();
  }
  for (const name of ['ada.tmp', 'Ada', '~', 'a~', 'a~-', '']) expect(desktopOfSafeName(name)).toBeNull();
});
