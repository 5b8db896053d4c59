import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { processStat } from './process-stat';

test('a process has a parent, and has used what it has worked', async () => {
  const work = 'while (process.cpuUsage().user < 300_000); console.log(); setInterval(() => {}, 1000)';
  const child = spawn(process.execPath, ['-e', work], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  const stat = processStat(child.pid!)!;
  expect(stat).toMatchObject({ parent: process.pid, childrenUsedMs: 0, state: expect.stringMatching(/^[RS]$/) });
  expect(stat.usedMs).toBeGreaterThan(100);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(processStat(child.pid!)).toBeNull();
});
