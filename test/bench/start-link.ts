import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { diesWithParent, hugePageHeap } from '@dormouse/process';
import type { Throttled } from './throttle';

/**
 * Starts the link to a storage in a process of its own: the processors are those that are measured, so it is not to wait for what the
 * benchmark does, and its memory is to cost little.
 * @param target the port of the storage
 */
export async function startLink(target: number): Promise<Throttled> {
  const node = [process.execPath, '--initial-old-space-size=256', join(__dirname, 'link-process.js'), String(target)];
  const [program, ...args] = [...diesWithParent('SIGKILL'), ...node] as [string, ...string[]];
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...hugePageHeap },
  });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const close = async (): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return { port: Number(said.toString()), close };
}
