import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { KeyRing, openKeyProvider, type KeyProvider, type KeptKey } from '@dormouse/keys';
import { LedgerKeys } from '@dormouse/ledger';
import { LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
let store: LedgerKeys;
let provider: KeyProvider;
let ring: KeyRing;
let keyUrl: string;

beforeAll(async () => {
  fixture = await LedgerFixture.start();
  keyUrl = `file://${fixture.directory}/master.json`;
  store = new LedgerKeys(fixture.dataSource, () => new Date(fixture.nowMs));
});
afterAll(() => fixture.stop());

beforeEach(async () => {
  provider = await openKeyProvider({ keyUrl, vaultToken: null }, () => Promise.resolve(true));
  ring = newRing();
});
afterEach(() => fixture.dataSource.query('DELETE FROM data_keys'));

/** As another process has it: with nothing in its memory. */
function newRing(): KeyRing {
  return new KeyRing(provider, store);
}

let desktops = 0;
function desktop(): Promise<string> {
  desktops += 1;
  return fixture.off(`desk-${desktops}`);
}

async function kept(): Promise<readonly KeptKey[]> {
  return store.list({ after: null, limit: 1_000 });
}

/** Some desktops with keys, and the content key: what each of them is. */
async function someKeys(count: number): Promise<Map<string, string>> {
  const keys = new Map([['content', (await ring.contentKey()).toString('hex')]]);
  for (let made = 0; made < count; made += 1) {
    const id = await desktop();
    keys.set(id, (await ring.desktopKey(id)).key.toString('hex'));
  }
  return keys;
}

async function expectAllToBe(keys: ReadonlyMap<string, string>, by = newRing()): Promise<void> {
  for (const [id, hex] of keys) {
    const key = id === 'content' ? await by.contentKey() : (await by.existingDesktopKey(id)).key;
    expect(key.toString('hex')).toBe(hex);
  }
}

function start(what: string, argument: string) {
  const hook = join(__dirname, '../contract/typescript.cjs');
  const program = join(__dirname, 'key-ring-process.ts');
  return spawn(process.execPath, ['--require', hook, program, what, argument, fixture.postgres.url, keyUrl], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

describe('the keys of desktops', () => {
  test('are made on the first use, 32 bytes, and the same ones afterwards', async () => {
    const id = await desktop();
    const first = await ring.desktopKey(id);
    expect(first.key).toHaveLength(32);
    expect(await ring.desktopKey(id)).toEqual(first);
    expect(await newRing().desktopKey(id)).toEqual(first);
    expect(await newRing().existingDesktopKey(id)).toEqual(first);
  });

  test('are another for each desktop, and none is the content key', async () => {
    const keys = await someKeys(3);
    expect(new Set(keys.values()).size).toBe(4);
  });

  test('are not made where there has to be one', async () => {
    const id = await desktop();
    await expect(ring.existingDesktopKey(id)).rejects.toMatchObject({
      code: 'KEY_MISSING',
      details: { desktopId: id },
    });
    expect(await kept()).toEqual([]);
  });

  test('are kept wrapped: no row holds one', async () => {
    const { key } = await ring.desktopKey(await desktop());
    const [row] = await kept();
    expect(row!.wrapped.includes(key)).toBe(false);
    expect(row!.wrapped).toHaveLength(60);
  });

  test('are the same for all rings that ask at once for the first time', async () => {
    const id = await desktop();
    const asked = await Promise.all(Array.from({ length: 10 }, () => newRing().desktopKey(id)));
    expect(new Set(asked.map(({ keyId, key }) => `${keyId} ${key.toString('hex')}`)).size).toBe(1);
  });

  test('are the same for all processes that ask at once for the first time', async () => {
    const id = await desktop();
    const processes = Array.from({ length: 3 }, () => {
      const child = start('use', id);
      return { child, lines: createInterface(child.stdout)[Symbol.asyncIterator]() };
    });
    for (const { lines } of processes) expect(await lines.next()).toMatchObject({ value: 'ready' });
    for (const { child } of processes) child.stdin.end();
    const said = await Promise.all(processes.map(async ({ lines }) => String((await lines.next()).value)));
    const { keyId, key } = await ring.existingDesktopKey(id);
    expect(said).toEqual(said.map(() => `${keyId} ${key.toString('hex')}`));
  });

  test('are not made for a desktop that is not there', async () => {
    await expect(ring.desktopKey('nobody')).rejects.toMatchObject({ code: 'DESKTOP_UNKNOWN' });
    expect(await kept()).toEqual([]);
  });

  test('that were damaged in the database are refused, and not replaced', async () => {
    const id = await desktop();
    await ring.desktopKey(id);
    await fixture.dataSource.query(`UPDATE data_keys SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1)`);
    const before = await kept();
    for (const refusal of [newRing().desktopKey(id), newRing().existingDesktopKey(id)]) {
      await expect(refusal).rejects.toMatchObject({ code: 'KEY_REJECTED', details: { purpose: `desktop/${id}` } });
    }
    expect(await kept()).toEqual(before);
  });

  test('that were exchanged in the database are refused', async () => {
    const [one, other] = [await desktop(), await desktop()];
    await ring.desktopKey(one);
    await ring.desktopKey(other);
    const [first, second] = await kept();
    const put = 'UPDATE data_keys SET wrapped = $1 WHERE id = $2';
    await fixture.dataSource.query(put, [first!.wrapped, second!.id]);
    await fixture.dataSource.query(put, [second!.wrapped, first!.id]);
    await expect(newRing().desktopKey(one)).rejects.toMatchObject({ code: 'KEY_REJECTED' });
    await expect(newRing().desktopKey(other)).rejects.toMatchObject({ code: 'KEY_REJECTED' });
  });
});

describe('a desktop that is deleted', () => {
  test('takes its key along, also out of the memory of those who had it', async () => {
    const id = await desktop();
    await ring.desktopKey(id);
    await fixture.ledger.deleteDesktop(id, 'test');
    expect(await kept()).toEqual([]);
    await expect(ring.existingDesktopKey(id)).rejects.toMatchObject({ code: 'KEY_MISSING' });
  });

  test('leaves nothing to a later one of the same id', async () => {
    const id = await desktop();
    const before = await ring.desktopKey(id);
    await fixture.ledger.deleteDesktop(id, 'test');
    await fixture.off(id);
    const after = await ring.desktopKey(id);
    expect(after.keyId).not.toBe(before.keyId);
    expect(after.key).not.toEqual(before.key);
  });

  test('keeps its key when the deletion is refused', async () => {
    const id = await desktop();
    const before = await ring.desktopKey(id);
    await fixture.send(id, 'connected');
    await expect(fixture.ledger.deleteDesktop(id, 'test')).rejects.toMatchObject({ code: 'DESKTOP_BUSY' });
    expect(await newRing().existingDesktopKey(id)).toEqual(before);
  });

  test('gets no key from a worker that comes while it goes', async () => {
    const id = await desktop();
    const runner = fixture.dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.query('DELETE FROM desktops WHERE id = $1', [id]);
    const late = ring.desktopKey(id);
    // The insert waits for the row of the desktop; only then is the deletion over.
    const waiting = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO data_keys%'`;
    const untilItWaits = async (): Promise<void> => {
      const [row] = await fixture.dataSource.query<{ n: number }[]>(waiting);
      if (row!.n === 0) await untilItWaits();
    };
    await untilItWaits();
    await runner.commitTransaction();
    await runner.release();
    await expect(late).rejects.toMatchObject({ code: 'DESKTOP_UNKNOWN' });
    expect(await kept()).toEqual([]);
  });
});

describe('a rotation', () => {
  test('wraps every key anew, and none is another', async () => {
    const keys = await someKeys(3);
    const before = await kept();
    fixture.nowMs += 60_000;
    await ring.addKek();
    const steps: number[][] = [];
    const done = await ring.rewrapAll({ onProgress: (...step) => steps.push(step) });
    expect(done).toEqual({ kekId: await provider.currentKek(), rewrapped: 4, remaining: 0, rejected: [] });
    expect(steps).toEqual([1, 2, 3, 4].map((step) => [step, 4]));
    for (const [at, key] of (await kept()).entries()) {
      expect(key).toMatchObject({ id: before[at]!.id, kekId: done.kekId, wrappedAt: new Date(fixture.nowMs) });
      expect(key.createdAt).toEqual(before[at]!.createdAt);
      expect(key.wrapped).not.toEqual(before[at]!.wrapped);
    }
    await expectAllToBe(keys);
  });

  test('has nothing to do when it is repeated', async () => {
    await someKeys(2);
    await ring.addKek();
    await ring.rewrapAll();
    const before = await kept();
    expect(await newRing().rewrapAll()).toMatchObject({ rewrapped: 0, remaining: 0 });
    expect(await kept()).toEqual(before);
  });

  test('is seen at once by rings that were there before', async () => {
    const others = newRing();
    const keys = await someKeys(2);
    await expectAllToBe(keys, others);
    await ring.addKek();
    const { kekId } = await ring.rewrapAll();
    await expectAllToBe(keys, others);
    await others.desktopKey(await desktop());
    expect(new Set((await kept()).map((key) => key.kekId))).toEqual(new Set([kekId]));
  });

  test.each([
    ['die-before', 1],
    ['die-before', 3],
    ['die-after', 1],
    ['die-after', 3],
    ['die-after', 4],
  ])('that is killed (%s key %i) leaves every key usable, and the next one does the rest', async (what, at) => {
    const keys = await someKeys(3);
    const child = start(what, String(at));
    const [said, [, signal]] = await Promise.all([
      text(child.stderr),
      once(child, 'exit') as Promise<[number | null, string | null]>,
    ]);
    expect({ said, signal }).toEqual({ said: '', signal: 'SIGKILL' });
    await expectAllToBe(keys);

    const done = what === 'die-before' ? at - 1 : at;
    const { kekId, ...rest } = await ring.rewrapAll();
    expect(rest).toEqual({ rewrapped: 4 - done, remaining: 0, rejected: [] });
    expect(new Set((await kept()).map((key) => key.kekId))).toEqual(new Set([kekId]));
    await expectAllToBe(keys);
  });

  test('that is ended early says what remains', async () => {
    await someKeys(3);
    await ring.addKek();
    const first = await ring.rewrapAll({ signal: AbortSignal.abort() });
    expect(first).toMatchObject({ rewrapped: 1, remaining: 3 });
    expect(await ring.rewrapAll()).toMatchObject({ rewrapped: 3, remaining: 0 });
  });

  test('beside which keys are made, used and deleted loses none and brings none back', async () => {
    const keys = await someKeys(6);
    const [, doomed, ...others] = [...keys.keys()];
    await ring.addKek();
    const made: string[] = [];
    await Promise.all([
      ring.rewrapAll(),
      newRing().rewrapAll(),
      expectAllToBe(new Map(others.map((id) => [id, keys.get(id)!]))),
      fixture.ledger.deleteDesktop(doomed!, 'test'),
      (async () => {
        for (let count = 0; count < 3; count += 1) {
          const id = await desktop();
          keys.set(id, (await newRing().desktopKey(id)).key.toString('hex'));
          made.push(id);
        }
      })(),
    ]);
    keys.delete(doomed!);
    await ring.rewrapAll();
    const { kekId } = await ring.rewrapAll();
    expect(new Set((await kept()).map((key) => key.kekId))).toEqual(new Set([kekId]));
    expect((await kept()).map(({ purpose }) => purpose)).not.toContain(`desktop/${doomed}`);
    expect(made).toHaveLength(3);
    await expectAllToBe(keys);
  });

  test('does not give a key back that was shredded while it was being wrapped', async () => {
    const id = await desktop();
    await ring.desktopKey(id);
    const [before] = await kept();
    const again = await provider.wrap(Buffer.alloc(32), before!.purpose);
    await fixture.ledger.deleteDesktop(id, 'test');
    expect(await store.replaceIfUnchanged(before!, again)).toBe(false);
    expect(await kept()).toEqual([]);
  });

  test('writes over neither the key of a later desktop of the same id nor a newer wrapping', async () => {
    const id = await desktop();
    await ring.desktopKey(id);
    const [shredded] = await kept();
    const late = await provider.wrap(Buffer.alloc(32), shredded!.purpose);
    await fixture.ledger.deleteDesktop(id, 'test');
    await fixture.off(id);
    const made = await ring.desktopKey(id);
    const [before] = await kept();
    expect(await store.replaceIfUnchanged(shredded!, late)).toBe(false);
    await ring.addKek();
    await ring.rewrapAll();
    expect(await store.replaceIfUnchanged(before!, late)).toBe(false);
    expect(await newRing().existingDesktopKey(id)).toEqual(made);
  });

  test('leaves a damaged key as it is, names it, and does the others', async () => {
    const keys = await someKeys(2);
    const [, broken] = [...keys.keys()];
    const damage = `UPDATE data_keys SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1) WHERE desktop_id = $1`;
    await fixture.dataSource.query(damage, [broken]);
    await ring.addKek();
    const { rejected, ...done } = await ring.rewrapAll();
    expect(done).toMatchObject({ rewrapped: 2, remaining: 0 });
    expect(rejected).toEqual([
      { purpose: `desktop/${broken}`, message: expect.stringContaining('cannot be unwrapped') },
    ]);
    keys.delete(broken!);
    await expectAllToBe(keys);
  });

  test('is refused with a key file that is not the one in use, and adds nothing to it', async () => {
    await someKeys(1);
    const strange = await openKeyProvider({ keyUrl: `file://${fixture.directory}/other.json`, vaultToken: null }, () =>
      Promise.resolve(true),
    );
    const before = await strange.currentKek();
    await expect(new KeyRing(strange, store).addKek()).rejects.toMatchObject({ code: 'KEY_REJECTED' });
    expect(await strange.currentKek()).toBe(before);
  });
});
