import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { consecutive, hashPages, keyBytes, pageBytes } from '@dormouse/checkpoint';

test('threads that have been warmed up hash the pages of a save under its own key', async () => {
  const contentKey = randomBytes(keyBytes);
  const pages = 3;
  const program = join(process.cwd(), 'dist', 'test', 'integration', 'warm-up-process.js');
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    program,
    contentKey.toString('hex'),
    String(pages),
  ]);
  const memory = Buffer.concat(Array.from({ length: pages }, (_, page) => Buffer.alloc(pageBytes, page)));
  expect({ stdout, stderr }).toEqual({
    stdout: hashPages(contentKey, memory, consecutive(pages)).toString('hex'),
    stderr: '',
  });
});
