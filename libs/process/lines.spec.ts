import fc from 'fast-check';
import { Lines } from './lines';

test('lines come out the same however they are cut', () => {
  const line = fc.string({ maxLength: 20 }).filter((text) => !text.includes('\n'));
  fc.assert(
    fc.property(
      fc.array(line),
      line,
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (whole, open, sizes) => {
        const text = [...whole, open].join('\n');
        const lines = new Lines(20);
        const seen: string[] = [];
        for (let at = 0, n = 0; at < text.length; at += sizes[n++ % sizes.length]!) {
          seen.push(...lines.push(text.slice(at, at + sizes[n % sizes.length]!))!);
        }
        expect(seen).toEqual(whole);
      },
    ),
  );
});

test('a line may be as long as was said and no longer, ended or not', () => {
  expect(new Lines(3).push('abc\nabc')).toEqual(['abc']);
  expect(new Lines(3).push('abc\nabcd')).toBeNull();
  expect(new Lines(3).push('abcd\n')).toBeNull();
});
