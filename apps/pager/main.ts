/**
 * The pager: one small process per save or restore of one machine, on the path of its memory and nowhere else.
 * It is started ahead of its work, loads all it will need, and waits for its assignment on standard input.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { longestAssignment, parseAssignment } from '@dormouse/pager-control';
import { capture } from './capture/capture';
import { logToRunDirectory } from './log';
import { startPageThreads, type PageThreads } from './page-threads';
import { warmUp } from './warm-up/warm-up';
import { serve } from './serve/serve';

/** Whoever starts a pager in a hurry gives it its work within this time. */
const hurryMs = 50;

async function main(): Promise<void> {
  process.umask(0o077);
  const threads = startPageThreads();
  const assigned = new AbortController();
  const warm = warmUpUnlessHurried(threads, assigned.signal);
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin as AsyncIterable<string>) {
    assigned.abort();
    text += chunk;
    if (text.length > longestAssignment)
      throw new DormouseError('PAGER_FAILED', 'the assignment of the pager never ends');
  }
  if (text === '') return; // never needed
  const { directory, job } = parseAssignment(text);
  await warm;
  process.chdir(directory); // sockets are named without a path, however long that is
  logToRunDirectory();
  await (job.mode === 'capture' ? capture(job, threads) : serve(job, threads));
}

/** One that fails ends the pager: its threads may have answers left that nobody must take for those to other questions. */
async function warmUpUnlessHurried(threads: PageThreads, signal: AbortSignal): Promise<void> {
  await sleep(hurryMs, undefined, { signal }).catch(() => undefined);
  if (!signal.aborted) await warmUp(threads, signal);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`pager: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  },
);
