import type { ClaimedOperation } from '@dormouse/ledger';
import { checkpoint, graceMs, LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
  await setPolicy({ forgetUnused: true });
});
afterAll(() => fixture.stop());

async function setPolicy(more: object): Promise<void> {
  await fixture.ledger.putPool('default', { graceMs, keepCheckpoints: 2, ...more }, 'test');
}

/** Woken by an admin, its guest runs and its memory comes. Its disk is written to in a layer of the wake's own. */
async function hydrating(id: string): Promise<ClaimedOperation> {
  await fixture.saved(id);
  await fixture.send(id, 'disconnected');
  await fixture.ledger.request(id, { kind: 'restore', reason: 'a test', requestedBy: 'key:anna' });
  const claimed = await fixture.claimOpen(id, 'restore');
  expect(await fixture.ledger.advance(claimed.fence, 'wake')).toBe(true);
  expect(await fixture.ledger.guestRan(claimed.fence, {})).toBe(true);
  return claimed;
}

async function whole({ fence, layer }: ClaimedOperation): Promise<void> {
  await fixture.ledger.finish(fence, { status: 'succeeded', desktop: { diskGeneration: layer!.generation } });
}

/** Nobody comes, and its grace is over. */
async function toBeSaved(id: string): Promise<ClaimedOperation> {
  await fixture.waitOutGrace(id);
  return fixture.claimOpen(id, 'save');
}

test('a desktop that was woken for nobody goes back to its checkpoint, and to the disk that was sealed with it', async () => {
  const woken = await hydrating('unused');
  const before = await fixture.ledger.viewDesktop('unused');
  await whole(woken);
  expect((await fixture.ledger.viewDesktop('unused')).diskGeneration).toBe(woken.layer!.generation);
  const { fence, mayFallBack } = await toBeSaved('unused');
  expect(mayFallBack).toBe(true);
  expect(await fixture.ledger.fallBack(fence)).toBe(true);
  expect(await fixture.state('unused')).toBe('resident');
  await fixture.ledger.finish(fence, { status: 'succeeded', result: {} });

  const { checkpointId, diskGeneration } = await fixture.ledger.viewDesktop('unused');
  expect({ checkpointId, diskGeneration }).toEqual({
    checkpointId: before.checkpointId,
    diskGeneration: woken.checkpoint!.diskGeneration,
  });
  expect(await fixture.state('unused')).toBe('saved');
  expect((await fixture.ledger.listOperations('unused'))[0]).toMatchObject({
    kind: 'save',
    status: 'succeeded',
    result: { fellBackTo: checkpointId },
  });
});

test('a user who was there while its memory came has used it, however short', async () => {
  const woken = await hydrating('glanced');
  await fixture.send('glanced', 'connected');
  await fixture.send('glanced', 'disconnected');
  await whole(woken);
  const { fence, mayFallBack } = await toBeSaved('glanced');
  expect(mayFallBack).toBe(false);
  expect(await fixture.ledger.fallBack(fence)).toBe(false);
  expect(await fixture.state('glanced')).toBe('saving');
  expect(await fixture.ledger.authorizeSwitchover(fence)).toBe(true);
  expect(await fixture.ledger.commitCheckpoint(fence, checkpoint())).toBe(true);
});

test('one that was announced and has never come has not', async () => {
  const woken = await hydrating('announced');
  await fixture.send('announced', 'connect_requested');
  await whole(woken);
  expect((await toBeSaved('announced')).mayFallBack).toBe(true);
});

test('a user who comes before the guest was given up has it thawed', async () => {
  const woken = await hydrating('late');
  await whole(woken);
  const { fence } = await toBeSaved('late');
  await fixture.send('late', 'connected');
  expect(await fixture.ledger.fallBack(fence)).toBe(false);
  expect((await fixture.ledger.viewDesktop('late')).diskGeneration).toBe(woken.layer!.generation);
});

test('a user who comes after that wakes it as soon as it is gone', async () => {
  await whole(await hydrating('later'));
  const { fence } = await toBeSaved('later');
  expect(await fixture.ledger.fallBack(fence)).toBe(true);
  await fixture.send('later', 'connected');
  await fixture.ledger.finish(fence, { status: 'succeeded' });
  expect(await fixture.ledger.viewDesktop('later')).toMatchObject({
    state: 'restoring',
    operation: { kind: 'restore', status: 'pending' },
  });
});

test('an admin who asks for a save gets one', async () => {
  await whole(await hydrating('asked'));
  await fixture.ledger.request('asked', { kind: 'save', reason: 'a test', requestedBy: 'key:anna' });
  expect((await fixture.claimOpen('asked', 'save')).mayFallBack).toBe(false);
});

test('a pool that says nothing of it has every desktop saved', async () => {
  await whole(await hydrating('usual'));
  await setPolicy({});
  expect((await toBeSaved('usual')).mayFallBack).toBe(false);
});
