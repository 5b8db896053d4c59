import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identifyProcess } from '@dormouse/process';
import { probeAccelerator } from './accelerator-probe';

test('what a try has left whose process was killed is removed at the next start, and one under way is not', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'dormouse-probe-'));
  try {
    const { pid, startTicks } = identifyProcess(process.pid)!;
    const underWay = `.probe-${pid}.${startTicks}.abcdef`;
    const names = [underWay, `.probe-${pid}.${startTicks - 1}.abcdef`, '.probe-abcdef', 'ada'];
    for (const name of names) await mkdir(join(directory, name));
    expect(await probeAccelerator('no-qemu', 'tcg', directory)).toBe('tcg');
    expect((await readdir(directory)).sort()).toEqual([underWay, 'ada'].sort());
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
