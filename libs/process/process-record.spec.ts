import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identifyProcess, readProcessRecord, recordedProcess, recordProcess } from '@dormouse/process';

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-record-'));
  file = join(directory, 'qemu.json');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const self = identifyProcess(process.pid)!;

test('a process is remembered, whether it lives or has ended', async () => {
  await recordProcess(file, self);
  expect(await readProcessRecord(file)).toEqual(self);
  await recordProcess(file, { ...self, startTicks: self.startTicks - 1 });
  expect(await readProcessRecord(file)).toBe('ended');
  expect(await recordedProcess(file)).toBeNull();
  expect(await readdir(directory)).toEqual(['qemu.json']);
});

test.each(['', '{"pid":', '\0\0\0\0', 'null', '{"pid":"1"}'])(
  'a record that says %j tells nothing, and ends nobody',
  async (text) => {
    await writeFile(file, text);
    expect(await readProcessRecord(file)).toBe('unknown');
    expect(await recordedProcess(file)).toBeNull();
  },
);
