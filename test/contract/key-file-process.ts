import { setTimeout as sleep } from 'node:timers/promises';
import { openKeyProvider } from '@dormouse/keys';

/**
 * A process that uses a key file, for what one process cannot do to itself.
 *  `open URL`: waits for its standard input to close, opens the file, says its newest key.
 *  `add URL`: the same, and adds a key.
 *  `add-until-killed URL`: adds keys, saying the newest after each.
 */
async function main(what: string, keyUrl: string): Promise<void> {
  if (what === 'add-until-killed') {
    for (;;) {
      const provider = await openKeyProvider({ keyUrl, vaultToken: null }, () => Promise.resolve(true));
      await provider.addKek();
      process.stdout.write(`${await provider.currentKek()}\n`);
      await sleep(1);
    }
  }
  process.stdout.write('ready\n');
  for await (const _ of process.stdin);
  const provider = await openKeyProvider({ keyUrl, vaultToken: null }, () => Promise.resolve(true));
  if (what === 'add') await provider.addKek();
  process.stdout.write(`${await provider.currentKek()}\n`);
}

void main(process.argv[2]!, process.argv[3]!);
