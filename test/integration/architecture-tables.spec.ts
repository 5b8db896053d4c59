import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { limits } from '@dormouse/limits';
import { limitsPage } from '../docs/limits-page';
import { withStateTable } from '../docs/state-table';

const root = join(__dirname, '../..');
const page = readFileSync(join(root, 'docs/ARCHITECTURE.md'), 'utf8');

/** The rows of the page's table below a heading, each as its cells; without the two lines of its head. */
function tableBelow(heading: string): string[][] {
  const section = page.slice(page.indexOf(`\n## ${heading}\n`)).split(/\n## /)[1] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

test('the table of machine states says what the transition table says (`npm run docs` writes it)', () => {
  expect(page).toBe(withStateTable(page));
});

test('the table of rooms says what the lint rule allows', () => {
  const config = readFileSync(join(root, 'eslint.config.mjs'), 'utf8');
  const rooms = [...config.matchAll(/'((?:libs|apps)\/[\w*-]+)': \{\s*libs: ('all'|\[[^\]]*\])/g)];
  const expected = rooms.map(([, room, libs]) => {
    const names = [...libs!.matchAll(/'([\w-]+)'/g)].map(([, name]) => name);
    return [`\`${room}\``, names.length === 0 ? 'nothing' : names.join(', ')];
  });
  expect(expected.length).toBeGreaterThan(15);
  expect(tableBelow('Rooms').map(([room, libs]) => [room, libs])).toEqual(expected);
});

test('the page of limits says what the table of limits says (`npm run docs` writes it)', () => {
  expect(readFileSync(join(root, 'docs/limits.md'), 'utf8')).toBe(limitsPage());
});

test('a guest that is frozen for a save runs again within 10 s, whoever has to let it run', () => {
  expect(limits.freeze.ms + limits.qmpThaw.ms).toBeLessThan(10_000);
  expect(limits.freezeWithoutWorker.ms).toBeGreaterThan(limits.freeze.ms);
  expect(limits.freezeWithoutWorker.ms + limits.qmpThaw.ms).toBeLessThan(10_000);
});
