/** A pager's threads: used for a warm-up, then for pages under another key. Prints the hashes of those, in hex. */
import { consecutive, HashThreads, pageBytes } from '@dormouse/checkpoint';
import { startPageThreads } from '../../apps/pager/page-threads';
import { warmUp } from '../../apps/pager/warm-up/warm-up';

async function main(contentKey: Buffer, pages: number): Promise<void> {
  const threads = startPageThreads();
  await warmUp(threads, new AbortController().signal);
  const hasher = new HashThreads(contentKey, threads.hash);
  const memory = hasher.allocate(pages * pageBytes);
  for (let page = 0; page < pages; page++) memory.fill(page, page * pageBytes);
  process.stdout.write((await hasher.hash(memory, consecutive(pages))).toString('hex'));
  await Promise.all([hasher.close(), threads.seal.terminate()]);
}

void main(Buffer.from(process.argv[2]!, 'hex'), Number(process.argv[3]));
