import { readdirSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { hurry } from './hurry';

const asRoot = process.getuid?.() === 0 ? test : test.skip;

/** proc(5), field 19 of a thread's stat. */
function niceOf(thread: number): number {
  const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
}

asRoot('the main thread hurries until it is told to stop, and no other thread does', async () => {
  const worker = new Worker('setInterval(() => undefined, 1000)', { eval: true });
  await once(worker, 'online');
  const before = niceOf(process.pid);
  const stop = hurry();
  expect(niceOf(process.pid)).toBe(-10);
  const others = readdirSync('/proc/self/task').filter((thread) => Number(thread) !== process.pid);
  expect(new Set(others.map((thread) => niceOf(Number(thread))))).toEqual(new Set([before]));
  stop();
  expect(niceOf(process.pid)).toBe(before);
  await worker.terminate();
});
