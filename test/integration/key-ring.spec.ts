import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyFile, KeyRing, type KeyProvider } from '@dormouse/keys';
import { LedgerKeys } from '@dormouse/ledger';
import { LedgerFixture } from './ledger-fixture';

let fixture: LedgerFixture;
let directory: string;
let provider: KeyFile;

beforeAll(async () => {
  fixture = await LedgerFixture.start();
  directory = await mkdtemp(join(tmpdir(), 'dormouse-ring-'));
  provider = await KeyFile.open(join(directory, 'master.json'));
});
afterAll(async () => {
  await fixture.stop();
  await rm(directory, { recursive: true });
});

const ring = (by: KeyProvider = provider): KeyRing => new KeyRing(by, new LedgerKeys(fixture.dataSource));
const rows = (): Promise<{ purpose: string; kek_id: string }[]> =>
  fixture.dataSource.query('SELECT purpose, kek_id FROM data_keys ORDER BY purpose');

test('every desktop has a key of its own, the same in every process, also when they ask at once for the first time', async () => {
  const ada = await Promise.all(Array.from({ length: 8 }, () => ring().desktopKey('ada')));
  const bob = await ring().desktopKey('bob');
  for (const one of ada) expect(one).toEqual(ada[0]);
  expect(ada[0]!.key).toHaveLength(32);
  expect(bob.key).not.toEqual(ada[0]!.key);
  expect(bob.keyId).not.toBe(ada[0]!.keyId);
  expect(await ring().existingDesktopKey('ada')).toEqual(ada[0]);
  const content = await Promise.all([ring().contentKey(), ring().contentKey()]);
  expect(content[0]).toEqual(content[1]);
});

test('a desktop without a key gets none when it has checkpoints to read', async () => {
  const missing = { code: 'KEY_MISSING', details: { desktopId: 'carl' } };
  await expect(ring().existingDesktopKey('carl')).rejects.toMatchObject(missing);
});

test('a rotation wraps every key anew and changes none; killed half way it is simply done again', async () => {
  const before = await ring().desktopKey('ada');
  let left = 1;
  const dying: KeyProvider = {
    rotate: () => provider.rotate(),
    unwrap: (wrapped, purpose) => provider.unwrap(wrapped, purpose),
    wrap: (key, purpose) => (left-- > 0 ? provider.wrap(key, purpose) : Promise.reject(new Error('killed'))),
  };
  await expect(ring(dying).rotate()).rejects.toThrow('killed');
  expect(new Set((await rows()).map((row) => row.kek_id)).size).toBe(2);
  expect(await ring().desktopKey('ada')).toEqual(before);

  const told: [number, number][] = [];
  const total = await ring().rotate((done, of) => told.push([done, of]));
  expect(total).toBe((await rows()).length);
  expect(told.at(-1)).toEqual([total, total]);
  expect(new Set((await rows()).map((row) => row.kek_id)).size).toBe(1);
  expect(await ring().desktopKey('ada')).toEqual(before);
});

test('a deleted desktop takes its key along, and the next one of its name has another, in every process', async () => {
  const longLived = ring();
  const before = await longLived.desktopKey('dora');
  await fixture.off('dora');
  await fixture.ledger.deleteDesktop('dora', 'test');
  await expect(longLived.existingDesktopKey('dora')).rejects.toMatchObject({ code: 'KEY_MISSING' });
  const after = await longLived.desktopKey('dora');
  expect(after.keyId).not.toBe(before.keyId);
  expect(after.key).not.toEqual(before.key);
});
