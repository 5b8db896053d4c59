/**
 * The pager: one small process per save or restore of one machine, on the path of its memory and nowhere else.
 * It is started ahead of its work, loads all it will need, and waits for its assignment on standard input.
 */
import { DormouseError } from '@dormouse/errors';
import { longestAssignment, parseAssignment } from '@dormouse/pager-control';
import { capture } from './capture/capture';
import { logToRunDirectory } from './log';
import { startPageThreads } from './page-threads';
import { serve } from './serve/serve';

async function main(): Promise<void> {
  process.umask(0o077);
  const threads = startPageThreads();
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin as AsyncIterable<string>) {
    text += chunk;
    if (text.length > longestAssignment)
      throw new DormouseError('PAGER_FAILED', 'the assignment of the pager never ends');
  }
  if (text === '') return; // never needed
  const { directory, job } = parseAssignment(text);
  process.chdir(directory); // sockets are named without a path, however long that is
  logToRunDirectory();
  await (job.mode === 'capture' ? capture(job, threads) : serve(job, threads));
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`pager: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  },
);
