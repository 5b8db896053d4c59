import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { settingRows } from '@dormouse/config';

/** A row as the README shows it: variable, what it is, what is used when it is not set. */
const tableRows = settingRows.map(
  ({ variable, meaning, fallback }) => `| \`${variable}\` | ${meaning} | ${fallback ?? '-'} |`,
);

test("the README's configuration table is the one that the environment is read by", () => {
  const readme = readFileSync(join(__dirname, '../../README.md'), 'utf8');
  const shown = readme.split('\n').filter((line) => /^\| `[A-Z_]+` \|/.test(line));
  expect(shown).toEqual(tableRows);
});
