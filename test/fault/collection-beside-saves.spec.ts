import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { BlobStore } from '@dormouse/storage';
import { LedgerFixture } from '../integration/ledger-fixture';
import { StoredDesktop, StoredHost } from './stored-desktop';

/** Collectors that never rest and know no grace, beside saves and wakes, in many orders. */

jest.setTimeout(240_000);

let fixture: LedgerFixture;
let host: StoredHost;

beforeAll(async () => {
  fixture = await LedgerFixture.start();
  host = await StoredHost.make(fixture);
});
afterAll(async () => {
  await host?.remove();
  await fixture?.stop();
});

/** Numbers from 0 to below 1, the same for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
}

/** Waits before every call for as long as chance will have it: from not at all to longer than the other side needs. */
function dawdling(store: BlobStore, chance: () => number): BlobStore {
  const dawdle = (): Promise<unknown> => (chance() < 0.6 ? turn() : sleep(chance() * 12));
  const later =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await dawdle();
      return call(...args);
    };
  return Object.assign(Object.create(store) as BlobStore, {
    create: later((key: string) => store.create(key)),
    read: later((...args: Parameters<BlobStore['read']>) => store.read(...args)),
    delete: later((key: string) => store.delete(key)),
    async *list(prefix: string) {
      for await (const object of store.list(prefix)) {
        yield object;
        await dawdle();
      }
    },
  });
}

test.each([1, 2, 3, 4])(
  'what is saved while garbage is collected is whole, and so is what was kept before (order %i)',
  async (seed) => {
    const chance = random(seed * 7_919);
    await fixture.ledger.putPool('default', { graceMs: 10_000, keepCheckpoints: 1 + (seed % 2) }, 'test');
    const desktop = await StoredDesktop.boot(host, `desk-${seed}`);
    let saving = true;
    let removed = 0;
    const failures: unknown[] = [];
    const collecting = [1, 2].map(async () => {
      while (saving) {
        const report = await host.objects({ store: dawdling(host.store, chance) }).collect([desktop.id]);
        removed += report.removedObjects;
        failures.push(...report.failures);
      }
    });
    const merging = (async () => {
      while (saving) failures.push(...(await host.layers().collect([desktop.id], true)).failures);
    })();
    try {
      for (let night = 0; night < 6; night++) {
        if (chance() < 0.3) await desktop.sleepInVain();
        await desktop.sleep(dawdling(host.store, chance));
        await desktop.expectWhole();
        await desktop.wake();
      }
    } finally {
      saving = false;
      await Promise.all([...collecting, merging]);
    }
    expect(failures).toEqual([]);
    expect(removed).toBeGreaterThan(5);
    await desktop.expectWhole();
    expect(await desktop.durable()).toHaveLength(1 + (seed % 2));
  },
);
