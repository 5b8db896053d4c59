import { leaseMs, LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

type Kind = 'save' | 'stop';
const kinds: readonly Kind[] = ['save', 'stop'];

async function forced(desktopId: string, kind: Kind, validForMs?: number) {
  const { operation } = await fixture.ledger.request(desktopId, {
    kind,
    reason: 'maintenance',
    requestedBy: 'key:anna',
    force: true,
    ...(validForMs !== undefined && { validForMs }),
  });
  return operation;
}

describe.each(kinds)('a forced %s', (kind) => {
  test('that nobody has begun in its time is called off, and its user keeps the desktop', async () => {
    const id = await fixture.inUse(`late-${kind}`);
    const { id: operationId } = await forced(id, kind, 5_000);
    fixture.nowMs += 4_999;
    expect(await fixture.ledger.endExpired()).toEqual([]);
    fixture.nowMs += 2;
    expect(await fixture.ledger.endExpired()).toEqual([id]);
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'running', operation: null });
    expect(await fixture.ledger.viewOperation(operationId)).toMatchObject({ status: 'cancelled' });
  });

  test('is not begun after its time, even by a job that comes before anybody has looked', async () => {
    const id = await fixture.inUse(`job-${kind}`);
    const operation = await forced(id, kind);
    fixture.nowMs += 10 * 60_000 + 1;
    await fixture.hostIsAlive();
    expect(await fixture.ledger.claim(operation.id, operation.generation, 'worker-1', leaseMs)).toBeNull();
    expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'running', operation: null });
  });
});

test('a forced stop whose worker has died is not done after its time', async () => {
  const id = await fixture.inUse('dead-stop');
  const operation = await forced(id, 'stop', 5_000);
  expect(await fixture.ledger.claim(operation.id, operation.generation, 'worker-1', leaseMs)).not.toBeNull();
  fixture.nowMs += leaseMs + 1;
  expect(await fixture.ledger.claim(operation.id, operation.generation, 'worker-2', leaseMs)).toBeNull();
  expect(await fixture.ledger.viewDesktop(id)).toMatchObject({ state: 'running', operation: null });
});

test('a forced save whose worker has died is given up by the next one after its time', async () => {
  const id = await fixture.inUse('dead-save');
  const operation = await forced(id, 'save', 5_000);
  expect(await fixture.ledger.claim(operation.id, operation.generation, 'worker-1', leaseMs)).not.toBeNull();
  fixture.nowMs += leaseMs + 1;
  const next = await fixture.ledger.claim(operation.id, operation.generation, 'worker-2', leaseMs);
  expect(next).toMatchObject({ takenOver: true });
  expect(await fixture.ledger.goesOn(next!.fence)).toBe(false);
  expect(await fixture.ledger.authorizeSwitchover(next!.fence)).toBe(false);
});

test('a save that was not forced waits as long as it has to', async () => {
  const id = await fixture.inGrace('patient');
  const { operation } = await fixture.ledger.request(id, { kind: 'save', reason: 'test', requestedBy: 'key:anna' });
  fixture.nowMs += 24 * 3_600_000;
  expect(await fixture.ledger.endExpired()).toEqual([]);
  expect(await fixture.ledger.claim(operation.id, operation.generation, 'worker-1', leaseMs)).not.toBeNull();
});
