import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');

test('each line of the threat model names a test that is there', () => {
  const text = readFileSync(join(root, 'docs/threat-model.md'), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  const lines = rows.slice(2); // behind the head
  expect(lines.length).toBeGreaterThan(15);
  for (const line of lines) {
    const named = [...line.matchAll(/`([\w/.-]+\.spec\.ts)`/g)].map(([, file]) => file!);
    expect([line, named.length]).toEqual([line, 1]);
    expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  }
});
