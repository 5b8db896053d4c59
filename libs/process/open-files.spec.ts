import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdsOpen } from './open-files';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-open-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test('a file that was renamed is still open, and another of its name is not', async () => {
  const [first, renamed] = [join(directory, 'first'), join(directory, 'renamed')];
  const handle = await open(first, 'w');
  await rename(first, renamed);
  await writeFile(first, 'another');
  expect(await holdsOpen(process.pid, [renamed])).toBe(true);
  expect(await holdsOpen(process.pid, [renamed, first])).toBe(false);
  expect(await holdsOpen(process.pid, [join(directory, 'missing')])).toBe(false);
  await handle.close();
  expect(await holdsOpen(process.pid, [renamed])).toBe(false);
});

test('a process that is gone holds nothing', async () => {
  const child = spawn('true');
  await once(child, 'exit');
  expect(await holdsOpen(child.pid!, [directory])).toBe(false);
});
