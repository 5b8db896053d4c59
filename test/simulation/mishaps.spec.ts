import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mishapNames } from './mishaps';

test('CONTRIBUTING.md lists the mishaps of the soak', () => {
  const text = readFileSync(join(__dirname, '../../CONTRIBUTING.md'), 'utf8');
  const [, after = ''] = text.split('(`test/simulation/mishaps.ts`)');
  const [list = ''] = after.split('\n\nThe guest');
  expect(list.match(/(?<=^- ).*$/gm)).toEqual(mishapNames);
});
