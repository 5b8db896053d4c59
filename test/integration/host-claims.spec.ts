import { SessionLedger, type HostProof } from '@dormouse/ledger';
import { leaseMs, LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());

const own: HostProof = { directory: 'd1', place: 'm1:1:1', scope: 'boot-1' };
const clone: HostProof = { directory: 'd2', place: 'm2:1:1', scope: 'boot-2' };

/** As a worker of host-1 sees it. */
function as(proof: HostProof): SessionLedger {
  return new SessionLedger(fixture.dataSource, {
    host: { id: 'host-1', proof },
    now: () => new Date(fixture.nowMs),
  });
}

const announcement = { id: 'host-1', capabilities: {} };

function change(command: 'fence' | 'uncordon') {
  return fixture.ledger.changeHost({ hostId: 'host-1', command, reason: 'test', actor: 'key:anna' });
}

test('another machine of the same name is refused, and what it says of the host’s machines counts for nothing', async () => {
  const [host, impostor] = [as(own), as(clone)];
  await host.announceHost(announcement);
  const id = await fixture.inUse('desk-1');
  await host.announceHost(announcement);
  await expect(impostor.announceHost(announcement)).rejects.toMatchObject({
    code: 'HOST_ID_TAKEN',
    message: expect.stringContaining('Give this one a HOST_ID of its own'),
  });
  await impostor.reportMachine(id, 'absent');
  expect((await fixture.ledger.viewDesktop(id)).state).toBe('running');

  const { operation } = await fixture.ledger.request(id, {
    kind: 'save',
    reason: 'test',
    requestedBy: 'key:anna',
    force: true,
  });
  const claim = (ledger: SessionLedger) => ledger.claim(operation.id, operation.generation, 'w', leaseMs, 'host-1');
  expect(await claim(impostor)).toBeNull();
  expect(await claim(host)).not.toBeNull();
});

test('a silent host is followed by another machine only when an operator has fenced it; back, it ends what it runs', async () => {
  const [host, successor] = [as(own), as(clone)];
  await host.announceHost(announcement);
  const id = await fixture.inUse('desk-2');
  fixture.nowMs += 31_000;
  await expect(successor.announceHost(announcement)).rejects.toMatchObject({
    code: 'HOST_ID_TAKEN',
    message: expect.stringContaining('dormouse host fence host-1'),
  });
  await change('fence');
  expect((await fixture.ledger.viewDesktop(id)).state).not.toBe('running');

  expect(await successor.announceHost(announcement)).toBe('fenced');
  await successor.hostCleared('host-1');
  await change('uncordon');
  expect(await successor.announceHost(announcement)).toBe('open');

  expect(await host.announceHost(announcement)).toBe('fenced');
  await host.hostCleared('host-1');
  await expect(host.announceHost(announcement)).rejects.toMatchObject({ code: 'HOST_ID_TAKEN' });
  expect(await successor.announceHost(announcement)).toBe('open');
});
