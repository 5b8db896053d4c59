import { randomUUID } from 'node:crypto';
import type { DesktopView, ExplanationView, OperationView, PoolView } from '@dormouse/views';
import { buildProgram } from '../../apps/cli/program';
import { ApiFixture, problemOf } from './api-fixture';

jest.setTimeout(60_000);

let fixture: ApiFixture;
beforeAll(async () => {
  fixture = await ApiFixture.start();
});
afterAll(() => fixture.stop());

const reason = 'a test';
const hour = (count: number) => new Date(Date.now() + count * 3_600_000).toISOString();

/** A desktop that runs and that its user has left. */
async function left(id: string): Promise<string> {
  await fixture.running(id);
  const data = { desktopId: id, connectionId: 'c1' };
  await fixture.sendEvent({ type: 'vdc.session.connected', data });
  await fixture.sendEvent({ type: 'vdc.session.disconnected', data: { ...data, reason: 'network' } });
  return id;
}

async function auditOf(act: () => Promise<unknown>) {
  const before = (await fixture.audit()).length;
  await act();
  return (await fixture.audit()).slice(before);
}

describe('a desktop', () => {
  test('explains itself in a sentence and as data', async () => {
    const id = await left('explained');
    const response = await fixture.fetch(`/v1/desktops/${id}/explain`);
    expect(response.status).toBe(200);
    const { sentence, ...data } = (await response.json()) as ExplanationView;
    const { graceDeadline } = await fixture.ledger.viewDesktop(id);
    expect(sentence).toContain('the network has broken off');
    expect(data).toMatchObject({
      desktopId: id,
      state: 'grace',
      presence: { occupancy: 'empty', cause: 'network', doubt: null },
      next: { what: 'save', when: 'time', at: graceDeadline },
      hindrances: [],
    });
    await problemOf(await fixture.fetch('/v1/desktops/nobody/explain'), 'DESKTOP_UNKNOWN', 404);
  });

  test('says which events are missing', async () => {
    const id = 'doubted';
    await fixture.running(id);
    const data = { desktopId: id, connectionId: 'c1', brokerEpoch: 'e1' };
    await fixture.sendEvent({ type: 'vdc.session.connected', data: { ...data, sequence: 1 } });
    await fixture.sendEvent({ type: 'vdc.session.disconnected', data: { ...data, sequence: 4 } });
    const { sentence, presence, hindrances } = await fixture.client.explain(id);
    expect(sentence).toContain('because events 2–3 of epoch e1 of the broker test-broker are missing');
    expect(presence).toMatchObject({ occupancy: 'unknown', doubt: { kind: 'missing', gaps: [[2, 3]] } });
    expect(hindrances).toMatchObject([{ code: 'PRESENCE_UNKNOWN' }]);
    expect(presence.since).toBe((await fixture.ledger.viewDesktop(id)).presence.unknownSince);
  });

  test('is held and no longer held, and both are audited', async () => {
    const id = await left('held');
    const until = hour(2);
    const lines = await auditOf(async () => {
      const held = await fixture.client.hold(id, { until, reason });
      expect(held).toMatchObject({ hold: { until, by: 'key:admin', reason }, graceDeadline: until });
      const save = await fixture.fetch(`/v1/desktops/${id}/save`, { method: 'POST', body: { reason } });
      await problemOf(save, 'DESKTOP_HELD', 409);
      expect(await fixture.client.unhold(id, reason)).toMatchObject({ hold: null, state: 'grace' });
    });
    expect(lines).toMatchObject([
      { action: 'desktop.hold', target: id, reason, outcome: 'accepted', details: { until } },
      { action: 'desktop.save', target: id, outcome: 'DESKTOP_HELD' },
      { action: 'desktop.unhold', target: id, outcome: 'accepted' },
    ]);
  });

  test.each([
    ['what is no time', 'yesterday'],
    ['a time that is over', '2001-01-01T00:00:00Z'],
    ['more than a year from now', hour(24 * 400)],
  ])('is not held until %s', async (_, until) => {
    const body = { until, reason };
    await problemOf(await fixture.fetch('/v1/desktops/held/hold', { method: 'PUT', body }), 'REQUEST_INVALID', 400);
  });

  test('is warmed ahead of its user, and held until they come', async () => {
    await fixture.registered('warm');
    const until = hour(1);
    const first = await fixture.client.prewarm('warm', { reason, until });
    expect(first).toMatchObject({ state: 'booting', operation: { kind: 'boot', reason }, hold: { until } });
    expect((await fixture.client.prewarm('warm', { reason })).operation?.id).toBe(first.operation?.id);
  });
});

test('an operation that waits is cancelled, once, and not a second time', async () => {
  const id = await left('cancelled');
  const { id: operationId } = await fixture.client.command(id, 'save', { reason });
  const lines = await auditOf(async () => {
    expect(await fixture.client.cancel(operationId, 'not now')).toMatchObject({ id: operationId, status: 'cancelled' });
    const again = { method: 'POST', body: { reason } };
    await problemOf(await fixture.fetch(`/v1/operations/${operationId}/cancel`, again), 'OPERATION_ENDED', 409);
    await problemOf(await fixture.fetch(`/v1/operations/${randomUUID()}/cancel`, again), 'OPERATION_UNKNOWN', 404);
  });
  expect(lines.map(({ action, outcome }) => [action, outcome])).toEqual([
    ['operation.cancel', 'applied'],
    ['operation.cancel', 'OPERATION_ENDED'],
    ['operation.cancel', 'OPERATION_UNKNOWN'],
  ]);
});

test('a pool is given all that a policy can say, and shows it with what it left to be filled in', async () => {
  const policy = {
    graceMs: 600_000,
    graceMsByReason: { idle: 0, network: 1_800_000 },
    keepCheckpoints: 2,
    schedule: {
      timeZone: 'Europe/Berlin',
      phases: [{ name: 'night', days: ['mon'], from: '18:00', to: '08:00', graceMs: 60_000 }],
    },
    logoff: { action: 'power-off' },
    storm: {},
  };
  const put = await fixture.fetch('/v1/pools/office', { method: 'PUT', body: { policy } });
  expect(put.status).toBe(200);
  expect((await put.json()) as PoolView).toMatchObject({
    policy: { ...policy, logoff: { action: 'power-off', settleMs: 3_000 }, storm: { percent: 30 } },
    storms: [],
  });
  const wrong = { policy: { ...policy, schedule: { ...policy.schedule, timeZone: 'Mars/Olympus' } } };
  const refused = await problemOf(
    await fixture.fetch('/v1/pools/office', { method: 'PUT', body: wrong }),
    'REQUEST_INVALID',
    400,
  );
  expect(refused).toMatchObject({ problems: [expect.stringContaining('schedule.timeZone')] });
});

describe('a request with an Idempotency-Key', () => {
  const post = (path: string, body: object, key: string) =>
    fixture.fetch(path, { method: 'POST', body, headers: { 'idempotency-key': key } });

  test('is done once and answered alike, with its address, as often as it comes', async () => {
    const id = await left('repeated');
    const key = randomUUID();
    const save = () => post(`/v1/desktops/${id}/save`, { reason }, key);
    const first = await save();
    const answer = (await first.json()) as OperationView;
    const lines = await auditOf(async () => {
      const second = await save();
      expect([second.status, second.headers.get('location')]).toEqual([202, `/v1/operations/${answer.id}`]);
      expect(second.headers.get('idempotency-replayed')).toBe('true');
      expect(await second.json()).toEqual(answer);
    });
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(lines).toEqual([]);
    expect(await fixture.client.operationsOf(id)).toHaveLength(3); // register, boot, and one save
  });

  test('that was refused is tried anew when it comes again, for what it was refused for may be over', async () => {
    const id = 'refused';
    await fixture.registered(id);
    const key = randomUUID();
    const save = () => post(`/v1/desktops/${id}/save`, { reason }, key);
    await problemOf(await save(), 'DESKTOP_BUSY', 409);
    await fixture.client.command(id, 'start', { reason });
    await fixture.work(id, { status: 'succeeded', result: {} });
    const data = { desktopId: id, connectionId: 'c-refused' };
    await fixture.sendEvent({ type: 'vdc.session.connected', data });
    await problemOf(await save(), 'USER_PRESENT', 409);
    await fixture.sendEvent({ type: 'vdc.session.disconnected', data });
    const done = await save();
    expect([done.status, done.headers.get('idempotency-replayed')]).toEqual([202, null]);
    expect((await save()).headers.get('idempotency-replayed')).toBe('true');
  });

  test('is not taken for another: not with another body, not for another desktop', async () => {
    const id = await left('mixed-up');
    const key = randomUUID();
    expect((await post(`/v1/desktops/${id}/save`, { reason }, key)).status).toBe(202);
    for (const [path, body] of [
      [`/v1/desktops/${id}/save`, { reason: 'another' }],
      [`/v1/desktops/${id}/stop`, { reason }],
      ['/v1/desktops/repeated/save', { reason }],
    ] as const) {
      await problemOf(await post(path, body, key), 'IDEMPOTENCY_KEY_REUSED', 422);
    }
  });

  test('that comes many times at once is done by one of them', async () => {
    const id = await left('at-once');
    const key = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => post(`/v1/desktops/${id}/save`, { reason }, key)),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status !== 202 && status !== 409)).toEqual([]);
    expect(
      answers.filter((one) => one.status === 202 && one.headers.get('idempotency-replayed') === null),
    ).toHaveLength(1);
    for (const one of answers.filter(({ status }) => status === 409))
      await problemOf(one, 'IDEMPOTENCY_KEY_IN_USE', 409);
    expect((await fixture.client.operationsOf(id)).filter(({ kind }) => kind === 'save')).toHaveLength(1);
  });

  test('that was killed before its answer was kept is done again after a minute', async () => {
    const id = await left('abandoned');
    const key = randomUUID();
    const save = () => post(`/v1/desktops/${id}/save`, { reason }, key);
    const { id: operationId } = (await (await save()).json()) as OperationView;
    const kept = (change: string) =>
      fixture.dataSource.query(`UPDATE idempotency_keys SET answer = NULL, begun_at = ${change} WHERE key = $1`, [key]);
    await kept('now()');
    await problemOf(await save(), 'IDEMPOTENCY_KEY_IN_USE', 409);
    await kept(`now() - interval '61 seconds'`);
    expect(await (await save()).json()).toMatchObject({ id: operationId });
  });

  test('that fails on our side is done as if for the first time when it comes again', async () => {
    const id = await left('failing');
    const key = randomUUID();
    const save = () => post(`/v1/desktops/${id}/save`, { reason }, key);
    await fixture.dataSource.query(
      `ALTER TABLE outbox ADD CONSTRAINT no_save CHECK (job_id NOT LIKE 'save-failing-%') NOT VALID`,
    );
    try {
      await problemOf(await save(), 'INTERNAL', 500);
    } finally {
      await fixture.dataSource.query('ALTER TABLE outbox DROP CONSTRAINT no_save');
    }
    const again = await save();
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([202, null]);
  });

  test.each([
    ['nothing', ''],
    ['with a space in it', 'with space'],
    ['too long', 'x'.repeat(129)],
  ])('that is %s is refused', async (_, key) => {
    const response = await post('/v1/desktops/repeated/save', { reason }, key);
    await problemOf(response, 'REQUEST_INVALID', 400);
  });
});

describe('the command line', () => {
  const run = async (...args: string[]): Promise<string> => {
    const printed: string[] = [];
    const program = buildProgram({
      openAccess: async () => ({
        client: fixture.client,
        url: fixture.api.url,
        webhookSecret: async () => fixture.keys.webhookSecrets[0]!,
      }),
      loadConfig: () => {
        throw new Error('not needed');
      },
      print: (text) => printed.push(text),
      now: () => new Date(),
    });
    await program.parseAsync(args, { from: 'user' });
    return printed.join('\n');
  };

  test('consents to what a desktop that cannot be woken loses, with a reason', async () => {
    await fixture.registered('blocked');
    const lost = { code: 'CHECKPOINT_CORRUPT', message: 'a pack is damaged', details: {} };
    await fixture.dataSource.query(
      `UPDATE desktops SET machine_state = 'restore-blocked', last_error = $1 WHERE id = 'blocked'`,
      [JSON.stringify(lost)],
    );
    expect(await run('desktop', 'explain', 'blocked')).toContain('`dormouse desktop consent blocked cold-boot`');
    const lines = await auditOf(async () => {
      const consents = ['desktop', 'consent', 'blocked'];
      await expect(run(...consents, 'older-checkpoint', '--reason', 'why not')).rejects.toMatchObject({
        code: 'CHECKPOINT_UNKNOWN',
      });
      expect(await run(...consents, 'cold-boot', '--reason', 'she agrees')).toMatch(/kind +boot\n(.*\n)*.*she agrees/);
      const again = { method: 'POST', body: { reason, to: 'cold-boot' } };
      await problemOf(await fixture.fetch('/v1/desktops/blocked/consent', again), 'DESKTOP_BUSY', 409);
      const nonsense = { method: 'POST', body: { reason, to: 'anything' } };
      await problemOf(await fixture.fetch('/v1/desktops/blocked/consent', nonsense), 'REQUEST_INVALID', 400);
    });
    expect(lines.map(({ action, outcome }) => [action, outcome])).toEqual(
      ['CHECKPOINT_UNKNOWN', 'applied', 'DESKTOP_BUSY', 'REQUEST_INVALID'].map((outcome) => [
        'desktop.consent',
        outcome,
      ]),
    );
    expect(lines[1]).toMatchObject({ actor: 'key:admin', target: 'blocked', reason: 'she agrees' });
  });

  test('explains, holds, lets go, warms and cancels', async () => {
    const id = await left('by-hand');
    expect(await run('desktop', 'explain', id)).toContain('the network has broken off');
    expect(await run('desktop', 'hold', id, '8h', '--reason', 'a demo')).toMatch(/held until .* by key:admin: a demo/);
    expect(await run('desktop', 'unhold', id)).not.toContain('held until');
    const warmed = JSON.parse(await run('--json', 'desktop', 'prewarm', id, '--until', hour(1))) as DesktopView;
    expect(warmed.hold).not.toBeNull();
    await run('desktop', 'unhold', id);
    const { id: operationId } = JSON.parse(await run('--json', 'desktop', 'save', id)) as OperationView;
    expect(await run('operation', 'cancel', operationId)).toContain('cancelled');
    await expect(run('desktop', 'hold', id, 'soon')).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });

  test('shows a pool with all of its policy', async () => {
    expect(await run('pool', 'show', 'office')).toMatch(/graceMsByReason +\{"idle":0,"network":1800000\}/);
  });
});
