/**
 * The pager: one small process per save or restore of one machine, on the path of its memory and nowhere else.
 * It is started ahead of its work, loads all it will need, opens its store, and waits for its assignment on standard input.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { longestAssignment, parseAssignment, parseSetUp } from '@dormouse/pager-control';
import { Lines } from '@dormouse/process';
import { openBlobStoreAgain, type BlobStore } from '@dormouse/storage';
import { capture } from './capture/capture';
import { logToRunDirectory } from './log';
import { startPageThreads, type PageThreads } from './page-threads';
import { warmUp } from './warm-up/warm-up';
import { warmUpStore } from './warm-up/warm-up-store';
import { serve } from './serve/serve';

/** Whoever starts a pager in a hurry gives it its work within this time. */
const hurryMs = 50;

async function main(): Promise<void> {
  process.umask(0o077);
  const threads = startPageThreads();
  const said = linesOfInput();
  const first = await said.next();
  if (first.done === true) return;
  const { storageUrl } = parseSetUp(first.value);
  const opened = openBlobStoreAgain(storageUrl);
  opened.catch(() => undefined); // it may have come back by the time there is work
  const assigned = new AbortController();
  const warm = warmUpUnlessHurried(threads, opened, assigned.signal);
  const second = await said.next();
  if (second.done === true) return; // never needed
  assigned.abort();
  const { directory, job } = parseAssignment(second.value);
  await warm;
  process.chdir(directory); // sockets are named without a path, however long that is
  logToRunDirectory();
  const openStore = (): Promise<BlobStore> => opened.catch(() => openBlobStoreAgain(storageUrl));
  await (job.mode === 'capture' ? capture(job, openStore, threads) : serve(job, openStore, threads));
}

async function* linesOfInput(): AsyncGenerator<string, void> {
  const lines = new Lines(longestAssignment);
  process.stdin.setEncoding('utf8');
  for await (const piece of process.stdin as AsyncIterable<string>) {
    const whole = lines.push(piece);
    if (whole === null) throw new DormouseError('PAGER_FAILED', 'the assignment of the pager never ends');
    yield* whole;
  }
}

/** One that fails ends the pager: its threads may have answers left that nobody must take for those to other questions. */
async function warmUpUnlessHurried(
  threads: PageThreads,
  opened: Promise<BlobStore>,
  signal: AbortSignal,
): Promise<void> {
  await sleep(hurryMs, undefined, { signal }).catch(() => undefined);
  if (signal.aborted) return;
  void warmUpStore(opened);
  await warmUp(threads, signal);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`pager: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  },
);
