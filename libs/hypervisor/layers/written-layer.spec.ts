import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isWrittenLayer } from './written-layer';

const run = promisify(execFile);

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-written-'));
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', join(directory, 'golden.qcow2'), '64M']);
});
afterAll(() => rm(directory, { recursive: true }));

/** @param commands of `qemu-io` */
async function layer(name: string, ...commands: readonly string[]): Promise<string> {
  const file = join(directory, name);
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', 'golden.qcow2', '-F', 'qcow2', file]);
  await run('qemu-io', ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), file]);
  return file;
}

test.each<[string, readonly string[], boolean]>([
  ['that was only read', ['read 0 1M'], false],
  ['with one sector of zeros', ['write -z 0 512'], true],
  ['that was written to at its end', ['write 67108352 512'], true],
  ['of which something was discarded', ['discard 1M 1M'], true],
])('a layer %s: %j', async (name, commands, written) => {
  expect(await isWrittenLayer(await layer(`${name}.qcow2`, ...commands))).toBe(written);
});

test('what is not there holds nothing; what is no layer may hold anything', async () => {
  expect(await isWrittenLayer(join(directory, 'nowhere'))).toBe(false);
  await writeFile(join(directory, 'short'), 'QFI');
  await writeFile(join(directory, 'other'), Buffer.alloc(4096, 7));
  expect([await isWrittenLayer(join(directory, 'short')), await isWrittenLayer(join(directory, 'other'))]).toEqual([
    true,
    true,
  ]);
});

test('a QEMU that is killed leaves no write that the layer does not show', async () => {
  const file = join(directory, 'killed.qcow2');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', 'golden.qcow2', '-F', 'qcow2', file]);
  const killed = run('qemu-io', ['-f', 'qcow2', '-t', 'writeback', '-c', 'write 3M 4k', '-c', 'abort', file]);
  await expect(killed).rejects.toBeDefined();
  expect(await isWrittenLayer(file)).toBe(true);
});
