import { KeyRing, openKeyProvider, type NewKey, type WrappedKey } from '@dormouse/keys';
import { LedgerKeys } from '@dormouse/ledger';
import { createDataSource } from '@dormouse/persistence';

/**
 * A process that uses the keys, for what one process cannot do to itself.
 *  `use DESKTOP`: waits for its standard input to close, then says the desktop's key.
 *  `die-before N`, `die-after N`: wraps all keys anew, and is killed before or after the Nth is written.
 */
async function main([what, argument, databaseUrl, keyUrl]: readonly string[]): Promise<void> {
  const dataSource = await createDataSource(databaseUrl!, { poolSize: 2 }).initialize();
  const provider = await openKeyProvider({ keyUrl: keyUrl!, vaultToken: null }, () => Promise.resolve(true));
  if (what === 'use') {
    process.stdout.write('ready\n');
    for await (const _ of process.stdin);
    const { keyId, key } = await new KeyRing(provider, new LedgerKeys(dataSource)).desktopKey(argument!);
    process.stdout.write(`${keyId} ${key.toString('hex')}\n`);
    await dataSource.destroy();
    return;
  }
  let left = Number(argument);
  class Deadly extends LedgerKeys {
    override async replaceIfUnchanged(before: NewKey, now: WrappedKey): Promise<boolean> {
      left -= 1;
      if (left === 0 && what === 'die-before') process.kill(process.pid, 'SIGKILL');
      const replaced = await super.replaceIfUnchanged(before, now);
      if (left === 0) process.kill(process.pid, 'SIGKILL');
      return replaced;
    }
  }
  const ring = new KeyRing(provider, new Deadly(dataSource));
  await ring.addKek();
  await ring.rewrapAll();
}

void main(process.argv.slice(2));
