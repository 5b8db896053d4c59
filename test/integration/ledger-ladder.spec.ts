import { randomUUID } from 'node:crypto';
import type { ClaimedOperation, FinishOutcome } from '@dormouse/ledger';
import { checkpoint, graceMs, leaseMs, LedgerFixture } from './ledger-fixture';

jest.setTimeout(60_000);

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await LedgerFixture.start();
});
afterAll(() => fixture.stop());
beforeEach(() => consentTo());

async function consentTo(...consents: string[]): Promise<void> {
  await fixture.ledger.putPool('default', { graceMs, keepCheckpoints: 5, consents }, 'test');
}

const damaged = { code: 'CHECKPOINT_CORRUPT', message: 'a pack is damaged', details: {} } as const;
const broken = { code: 'MACHINE_START_FAILED', message: 'QEMU ended at once', details: {} } as const;

/** Asleep in its second checkpoint. @returns its checkpoints, oldest first */
async function asleepTwice(id: string): Promise<[string, string]> {
  await fixture.saved(id);
  const { checkpointId: first } = await fixture.ledger.viewDesktop(id);
  await wakes(id, { status: 'succeeded' });
  fixture.nowMs += 1_000;
  await fixture.ledger.request(id, { kind: 'save', force: true, reason: 'a test', requestedBy: 'key:anna' });
  const { fence } = await fixture.claimOpen(id, 'save');
  expect(await fixture.ledger.authorizeSwitchover(fence)).toBe(true);
  const { diskGeneration } = await fixture.ledger.viewDesktop(id);
  expect(await fixture.ledger.commitCheckpoint(fence, { ...checkpoint(), diskGeneration })).toBe(true);
  expect(await fixture.ledger.beginRelease(fence)).toBe(true);
  await fixture.ledger.finish(fence, { status: 'succeeded' });
  expect(await fixture.state(id)).toBe('saved');
  return [first!, (await fixture.ledger.viewDesktop(id)).checkpointId!];
}

/** Somebody wants it, and its worker ends the restore so. */
async function wakes(id: string, outcome: FinishOutcome): Promise<void> {
  await fixture.ledger.request(id, { kind: 'restore', reason: 'a test', requestedBy: 'key:anna' });
  await ends(id, 'restore', outcome);
}

async function ends(id: string, kind: 'restore' | 'boot', outcome: FinishOutcome): Promise<void> {
  const { fence } = await fixture.claimOpen(id, kind);
  if (kind === 'restore' && outcome.status === 'succeeded') {
    expect(await fixture.ledger.advance(fence, 'wake')).toBe(true);
    expect(await fixture.ledger.guestRan(fence, {})).toBe(true);
  }
  await fixture.ledger.finish(fence, outcome);
}

async function consentsOf(id: string): Promise<readonly (string | null)[][]> {
  const { consents } = await fixture.ledger.explainDesktop(id);
  return consents.map(({ to, checkpointId }) => [to, checkpointId]);
}

test('without consent a desktop whose checkpoint is damaged waits, and says what can be consented to and what is lost', async () => {
  const [older] = await asleepTwice('waits');
  await wakes('waits', { status: 'failed', error: damaged });
  expect(await fixture.state('waits')).toBe('restore-blocked');
  expect(await consentsOf('waits')).toEqual([
    ['older-checkpoint', older],
    ['cold-boot', null],
  ]);
  const { sentence } = await fixture.ledger.explainDesktop('waits');
  expect(sentence).toMatch(
    /it loses what was done after that, in memory and on disk: `dormouse desktop consent waits /,
  );
  await expect(
    fixture.ledger.request('waits', { kind: 'boot', reason: 'a test', requestedBy: 'key:anna' }),
  ).rejects.toMatchObject({ code: 'CONSENT_NEEDED' });
});

test('a blocked desktop whose guest has not run since can be woken again without consent: somebody may have repaired its checkpoint', async () => {
  const [, own] = await asleepTwice('repaired');
  await wakes('repaired', { status: 'failed', error: damaged });
  await wakes('repaired', { status: 'succeeded' });
  expect(await fixture.ledger.viewDesktop('repaired')).toMatchObject({ checkpointId: own, lastError: null });
});

test('a restore of a blocked desktop whose guest has run takes the same consent as the step that it is', async () => {
  const [older, own] = await asleepTwice('one-door');
  await fixture.ledger.request('one-door', { kind: 'restore', reason: 'a test', requestedBy: 'key:anna' });
  const { fence, layer } = await fixture.claimOpen('one-door', 'restore');
  expect(await fixture.ledger.advance(fence, 'wake')).toBe(true);
  expect(await fixture.ledger.guestRan(fence, {}, { diskGeneration: layer!.generation })).toBe(true);
  await fixture.ledger.finish(fence, { status: 'failed', error: damaged });
  const restore = (checkpointId?: string) =>
    fixture.ledger.request('one-door', {
      kind: 'restore',
      reason: 'a test',
      requestedBy: 'key:anna',
      ...(checkpointId !== undefined && { checkpointId }),
    });
  for (const checkpointId of [undefined, own, older]) {
    await expect(restore(checkpointId)).rejects.toMatchObject({
      code: 'CONSENT_NEEDED',
      message: expect.stringContaining(`consent one-door ${checkpointId === older ? 'older' : 'own'}-checkpoint`),
    });
  }
  expect(await fixture.state('one-door')).toBe('restore-blocked');
  const { items } = await fixture.ledger.listAudit({ limit: 3, action: 'desktop.restore', target: 'one-door' });
  expect(items.map(({ outcome }) => outcome)).toEqual(Array(3).fill('CONSENT_NEEDED'));
  // Damaged, it is no step that is offered. An admin who has repaired it can have it tried all the same.
  expect(await consentsOf('one-door')).toEqual([
    ['older-checkpoint', older],
    ['cold-boot', null],
  ]);
  const repaired = { to: 'own-checkpoint', reason: 'repaired', requestedBy: 'key:anna' } as const;
  expect(await fixture.ledger.consent('one-door', repaired)).toMatchObject({ kind: 'restore' });
  await ends('one-door', 'restore', { status: 'failed', error: damaged });
  await consentTo('own-checkpoint', 'older-checkpoint');
  expect((await restore(older)).operation).toMatchObject({ kind: 'restore' });
});

test('an admin consents to an older checkpoint: it is woken, and the audit log has who, why and what', async () => {
  const [older, own] = await asleepTwice('older');
  await wakes('older', { status: 'failed', error: damaged });
  const command = { to: 'older-checkpoint', reason: 'she agrees', requestedBy: 'key:anna' } as const;
  const { id } = await fixture.ledger.consent('older', command);
  expect((await fixture.claimOpen('older', 'restore')).checkpoint?.id).toBe(older);
  const { items } = await fixture.ledger.listAudit({ limit: 1, action: 'desktop.consent', target: 'older' });
  expect(items).toMatchObject([
    {
      actor: 'key:anna',
      reason: 'she agrees',
      outcome: 'applied',
      details: { to: 'older-checkpoint', checkpointId: older, operationId: id },
    },
  ]);
  expect((await fixture.ledger.viewDesktop('older')).checkpointId).toBe(own);
});

test('a step that there is not is refused, and stands in the audit log', async () => {
  await fixture.saved('only');
  const command = { to: 'older-checkpoint', reason: 'a test', requestedBy: 'key:anna' } as const;
  await expect(fixture.ledger.consent('only', command)).rejects.toMatchObject({ code: 'DESKTOP_BUSY' });
  await wakes('only', { status: 'failed', error: damaged });
  await expect(fixture.ledger.consent('only', command)).rejects.toMatchObject({ code: 'CHECKPOINT_UNKNOWN' });
  const { items } = await fixture.ledger.listAudit({ limit: 2, action: 'desktop.consent', target: 'only' });
  expect(items.map(({ outcome }) => outcome)).toEqual(['CHECKPOINT_UNKNOWN', 'DESKTOP_BUSY']);
});

test('a pool that consents has every step taken by itself, each an operation with its reason; a cold boot gives the checkpoint up', async () => {
  const [older, own] = await asleepTwice('climbs');
  const disk = (await fixture.ledger.viewDesktop('climbs')).diskGeneration;
  await consentTo('own-checkpoint', 'older-checkpoint', 'cold-boot');
  await wakes('climbs', { status: 'failed', error: damaged });
  expect((await fixture.ledger.viewDesktop('climbs')).operation).toMatchObject({
    kind: 'restore',
    requestedBy: 'policy',
    reason: 'its pool consents, and it cannot be woken otherwise: a pack is damaged',
  });
  await ends('climbs', 'restore', { status: 'failed', error: { ...damaged, message: 'this one too' } });
  const claimed = await fixture.claimOpen('climbs', 'boot');
  expect(claimed.layer).toEqual({ generation: claimed.operation.id, on: disk, isNew: true });
  await fixture.ledger.finish(claimed.fence, {
    status: 'succeeded',
    desktop: { diskGeneration: claimed.layer!.generation },
  });
  expect(await fixture.ledger.viewDesktop('climbs')).toMatchObject({ checkpointId: null, lastError: null });
  const operations = await fixture.ledger.listOperations('climbs', 3);
  expect(operations.map(({ kind, status }) => [kind, status])).toEqual([
    ['boot', 'succeeded'],
    ['restore', 'failed'],
    ['restore', 'failed'],
  ]);
  // Both stay, for whoever can mend them.
  const { items } = await fixture.ledger.listCheckpoints('climbs', { limit: 10 });
  expect(items.map(({ id, state }) => [id, state])).toEqual([
    [own, 'durable'],
    [older, 'durable'],
  ]);
});

test('a cold boot that fails leaves the desktop as it was, and is not tried again by itself', async () => {
  await fixture.saved('stuck');
  const before = await fixture.ledger.viewDesktop('stuck');
  await consentTo('cold-boot');
  await wakes('stuck', { status: 'failed', error: damaged });
  await ends('stuck', 'boot', { status: 'failed', error: broken });
  const { checkpointId, diskGeneration, state, operation } = await fixture.ledger.viewDesktop('stuck');
  expect({ checkpointId, diskGeneration, state, operation }).toEqual({
    checkpointId: before.checkpointId,
    diskGeneration: before.diskGeneration,
    state: 'restore-blocked',
    operation: null,
  });
  expect((await fixture.ledger.explainDesktop('stuck')).consents.at(-1)?.sentence).toContain('it was tried and failed');
});

test('a machine that is lost while its memory comes is woken again from its own checkpoint, if its pool consents, three times at most', async () => {
  const [older] = await asleepTwice('lost');
  await consentTo('own-checkpoint');
  await fixture.ledger.request('lost', { kind: 'restore', reason: 'a test', requestedBy: 'key:anna' });
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const { fence } = await fixture.claimOpen('lost', 'restore');
    expect(await fixture.ledger.advance(fence, 'wake')).toBe(true);
    expect(await fixture.ledger.guestRan(fence, {})).toBe(true);
    await fixture.ledger.finish(fence, { status: 'failed', error: { ...broken, code: 'MACHINE_GONE' } });
  }
  expect(await fixture.state('lost')).toBe('restore-blocked');
  expect(await consentsOf('lost')).toEqual([
    ['older-checkpoint', older],
    ['cold-boot', null],
  ]);
});

test('a storage that is away, however often, is no reason to give a checkpoint up', async () => {
  await fixture.saved('patient');
  await consentTo('own-checkpoint', 'older-checkpoint', 'cold-boot');
  const away = { code: 'STORAGE_FAILED', message: 'it does not answer', details: {} } as const;
  for (let attempt = 1; attempt <= 4; attempt += 1) await wakes('patient', { status: 'failed', error: away });
  expect(await fixture.ledger.viewDesktop('patient')).toMatchObject({ state: 'saved', restoreFailures: 0 });
});

describe('another host', () => {
  const roomy = { memoryMiB: 1_024, storage: 's', disks: 'd', qemuVersion: '7.2', accelerator: 'tcg' };
  const failures = ['lazy: QEMU ended at once (MACHINE_START_FAILED)'];

  /** A restore that a worker has taken on one of two hosts. */
  async function waking(id: string): Promise<{ claimed: ClaimedOperation; host: string; other: string }> {
    await fixture.saved(id);
    for (const host of ['host-1', 'host-2']) await fixture.ledger.announceHost({ id: host, capabilities: roomy });
    await fixture.ledger.request(id, { kind: 'restore', reason: 'a test', requestedBy: 'key:anna' });
    const claimed = await fixture.claimOpen(id, 'restore');
    const host = claimed.operation.hostId!;
    return { claimed, host, other: host === 'host-1' ? 'host-2' : 'host-1' };
  }

  test('takes a wake that fails where it is, with what was tried; the worker before has no more to say', async () => {
    const { claimed, host, other } = await waking('moves');
    const { fence, operation } = claimed;
    expect(await fixture.ledger.advance(fence, 'wake')).toBe(true);
    expect(await fixture.ledger.moveOn(fence, failures)).toBe(other);
    const moved = await fixture.ledger.viewDesktop('moves');
    expect(moved).toMatchObject({
      state: 'restoring',
      hostId: other,
      operation: {
        id: operation.id,
        hostId: other,
        workerId: null,
        status: 'pending',
        phase: 'place',
        progress: { failures: [...failures, `elsewhere: from ${host} to ${other}`] },
      },
    });
    expect((await fixture.outbox('moves')).at(-1)).toMatchObject({ action: 'add', queue: `host.${other}` });

    await fixture.ledger.renew([operation.id], 'worker-1', leaseMs);
    const { generation } = moved.operation!;
    expect(await fixture.ledger.claim(operation.id, generation, 'late', leaseMs, host)).toBeNull();
    const taken = await fixture.ledger.claim(operation.id, generation, 'worker-2', leaseMs, other);
    expect(taken).toMatchObject({ takenOver: false, fence: { attempt: 2 } });
    expect(await fixture.ledger.guestRan(fence, {})).toBe(false);
    // Each host is tried once.
    expect(await fixture.ledger.moveOn(taken!.fence, failures)).toBeNull();
    await fixture.ledger.finish(taken!.fence, { status: 'failed', error: broken });
    expect(await fixture.state('moves')).toBe('saved');
  });

  test('is none that does not have the disks', async () => {
    const { claimed, other } = await waking('stays');
    await fixture.ledger.announceHost({ id: other, capabilities: { ...roomy, disks: randomUUID() } });
    expect(await fixture.ledger.moveOn(claimed.fence, failures)).toBeNull();
    expect((await fixture.ledger.viewDesktop('stays')).operation).toMatchObject({ status: 'active' });
  });

  test('that falls silent before it has begun gives the wake back', async () => {
    const { claimed, host, other } = await waking('again');
    expect(await fixture.ledger.moveOn(claimed.fence, failures)).toBe(other);
    fixture.nowMs += 31_000;
    await fixture.ledger.announceHost({ id: host, capabilities: roomy });
    expect(await fixture.ledger.placeWaiting()).toHaveLength(1);
    expect((await fixture.ledger.viewDesktop('again')).hostId).toBe(host);
  });
});
