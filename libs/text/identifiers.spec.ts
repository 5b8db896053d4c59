import { desktopKey, isDesktopId } from './identifiers';

test.each(['ada', 'VDI_01', 'name-0.domain.example', 'WIN10-017', 'a..b', '0', 'x'.repeat(100)])(
  '%s can be a desktop',
  (id) => expect(isDesktopId(id)).toBe(true),
);

test.each(['', '.', '..', '.ada', '-ada', '_ada', 'a b', 'a/b', 'a:b', 'ada\n', 'ädä', 'x'.repeat(101), 7, null])(
  '%j cannot be a desktop',
  (id) => expect(isDesktopId(id)).toBe(false),
);

test('names that differ in capitals alone are one desktop’s', () => {
  expect(desktopKey('VDI_01.Example')).toBe(desktopKey('vdi_01.example'));
  expect(desktopKey('vdi-01')).not.toBe(desktopKey('vdi_01'));
});
