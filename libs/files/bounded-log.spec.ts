import { appendFile, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { boundLogs, lastLines, mostLogBytes } from './bounded-log';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-log-'));
});
afterEach(() => rm(directory, { recursive: true }));

test('of a log that has grown its end is kept, and who writes it goes on at its new beginning', async () => {
  const path = join(directory, 'console.log');
  const writer = await open(path, 'a');
  await writer.write('x'.repeat(mostLogBytes));
  await writer.write('the end\n');
  await boundLogs(directory);
  await writer.write('more\n');
  await writer.close();
  expect(await readFile(path, 'utf8')).toBe('more\n');
  expect((await readFile(`${path}.1`, 'utf8')).endsWith('xthe end\n')).toBe(true);
  expect((await stat(`${path}.1`)).size).toBe(mostLogBytes);
  await boundLogs(directory);
  expect(await readFile(path, 'utf8')).toBe('more\n');
});

test('what is no log is left alone, and a directory that has gone is none to bound', async () => {
  const path = join(directory, 'qemu.json');
  await appendFile(path, 'x'.repeat(mostLogBytes + 1));
  await boundLogs(directory);
  expect((await stat(path)).size).toBe(mostLogBytes + 1);
  await boundLogs(join(directory, 'gone'));
});

test('the last lines of a log are read without the rest of it', async () => {
  const path = join(directory, 'qemu.log');
  await appendFile(path, `${'x'.repeat(100_000)}\none\ntwo\nthree\n`);
  expect(await lastLines(path, 2)).toEqual(['two', 'three']);
});
