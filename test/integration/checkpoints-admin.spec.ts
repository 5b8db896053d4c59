import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { KeptCheckpointView, OperationView, Page } from '@dormouse/views';
import { ApiFixture, problemOf } from './api-fixture';
import { checkpoint } from './ledger-fixture';

jest.setTimeout(60_000);

const reason = 'before the upgrade';

let fixture: ApiFixture;
/** Of `desk-1`, which sleeps in the newest. */
let oldest: string;
let newest: string;

beforeAll(async () => {
  fixture = await ApiFixture.start();
  await fixture.client.putPool('default', { graceMs: 60_000, keepCheckpoints: 2 });
  await fixture.running('desk-1');
  oldest = await saved('desk-1');
  await fixture.client.command('desk-1', 'restore', { reason });
  await fixture.work('desk-1', { status: 'succeeded' });
  newest = await saved('desk-1');
});
afterAll(() => fixture.stop());

/** Saves a running desktop as a worker would. @returns its checkpoint */
async function saved(id: string): Promise<string> {
  const { id: operationId, generation } = await fixture.client.command(id, 'save', { reason });
  const { ledger } = fixture;
  const { fence } = (await ledger.claim(operationId, generation, 'worker-1', 60_000))!;
  const facts = checkpoint();
  await ledger.authorizeSwitchover(fence);
  await ledger.commitCheckpoint(fence, facts);
  await ledger.beginRelease(fence);
  await ledger.finish(fence, { status: 'succeeded' });
  return facts.id;
}

async function auditOf(work: () => Promise<unknown>) {
  const before = (await fixture.audit()).length;
  await work();
  return (await fixture.audit()).slice(before);
}

function pinPath(checkpointId: string): string {
  return `/v1/desktops/desk-1/checkpoints/${checkpointId}/pin`;
}

test('the checkpoints of a desktop are listed newest first, with what keeps each', async () => {
  const answer = await fixture.fetch('/v1/desktops/desk-1/checkpoints');
  expect(answer.status).toBe(200);
  const { items, nextCursor } = (await answer.json()) as Page<KeptCheckpointView>;
  expect(nextCursor).toBeNull();
  const time = expect.stringMatching(/Z$/) as unknown;
  const common = { state: 'durable', ramBytes: 64 * 2 ** 20, storedBytes: 5_000_000_000, durableAt: time, pin: null };
  expect(items).toMatchObject([
    { ...common, id: newest, current: true, restoredAt: null, parentId: oldest, keptBecause: ['current', 'newest'] },
    { ...common, id: oldest, current: false, restoredAt: time, keptBecause: ['newest', 'last-restored'] },
  ]);
  const first = (await (
    await fixture.fetch('/v1/desktops/desk-1/checkpoints?limit=1')
  ).json()) as Page<KeptCheckpointView>;
  const page = (await (
    await fixture.fetch(`/v1/desktops/desk-1/checkpoints?limit=1&cursor=${first.nextCursor}`)
  ).json()) as Page<KeptCheckpointView>;
  expect([...first.items, ...page.items].map(({ id }) => id)).toEqual([newest, oldest]);
});

test('a pin is put and taken away, and both are audited with who and why', async () => {
  const lines = await auditOf(async () => {
    const pinned = await fixture.fetch(pinPath(oldest), { method: 'PUT', body: { reason } });
    expect(await pinned.json()).toMatchObject({
      id: oldest,
      pin: { by: 'key:admin', reason },
      keptBecause: ['pinned', 'newest', 'last-restored'],
    });
    const unpinned = await fixture.fetch(`${pinPath(oldest)}?reason=done`, { method: 'DELETE' });
    expect(unpinned.status).toBe(200);
    expect(await unpinned.json()).toMatchObject({ id: oldest, pin: null });
  });
  const common = { actor: 'key:admin', target: 'desk-1', outcome: 'applied', details: { checkpointId: oldest } };
  expect(lines).toMatchObject([
    { ...common, action: 'checkpoint.pin', reason },
    { ...common, action: 'checkpoint.unpin', reason: 'done' },
  ]);
});

test.each([
  ['PUT', `/v1/desktops/desk-1/checkpoints/${randomUUID()}/pin`, { reason }, 'CHECKPOINT_UNKNOWN', 404],
  ['PUT', '/v1/desktops/desk-1/checkpoints/newest/pin', { reason }, 'CHECKPOINT_UNKNOWN', 404],
  ['PUT', `/v1/desktops/none/checkpoints/${randomUUID()}/pin`, { reason }, 'DESKTOP_UNKNOWN', 404],
  ['PUT', `/v1/desktops/desk-1/checkpoints/${randomUUID()}/pin`, {}, 'REQUEST_INVALID', 400],
  ['DELETE', `/v1/desktops/desk-1/checkpoints/${randomUUID()}/pin`, undefined, 'REQUEST_INVALID', 400],
  ['DELETE', `/v1/desktops/desk-1/checkpoints/${randomUUID()}/pin?reason=x`, undefined, 'CHECKPOINT_UNKNOWN', 404],
  ['POST', '/v1/desktops/desk-1/restore', { reason, checkpointId: randomUUID() }, 'CHECKPOINT_UNKNOWN', 404],
  ['POST', '/v1/desktops/desk-1/restore', { reason, checkpointId: 'newest' }, 'CHECKPOINT_UNKNOWN', 404],
  ['POST', '/v1/desktops/desk-1/restore', { reason, checkpointId: 7 }, 'REQUEST_INVALID', 400],
] as const)('%s %s %j is refused with %s, once in the audit log', async (method, path, body, code, status) => {
  const lines = await auditOf(async () => problemOf(await fixture.fetch(path, { method, body }), code, status));
  expect(lines).toMatchObject([{ outcome: code }]);
});

test.each([
  ['/v1/desktops/none/checkpoints', 'DESKTOP_UNKNOWN', 404],
  ['/v1/desktops/desk-1/checkpoints?cursor=newest', 'REQUEST_INVALID', 400],
] as const)('GET %s is refused with %s', async (path, code, status) => {
  await problemOf(await fixture.fetch(path), code, status);
});

test('a restore of an older checkpoint is accepted, audited with the checkpoint, and makes it the current one', async () => {
  const lines = await auditOf(async () => {
    const answer = await fixture.fetch('/v1/desktops/desk-1/restore', {
      method: 'POST',
      body: { reason, checkpointId: oldest },
    });
    expect(answer.status).toBe(202);
    expect((await answer.json()) as OperationView).toMatchObject({ kind: 'restore', status: 'pending' });
  });
  expect(lines).toMatchObject([{ action: 'desktop.restore', outcome: 'applied', details: { checkpointId: oldest } }]);
  const another = { method: 'POST', body: { reason, checkpointId: newest } };
  await problemOf(await fixture.fetch('/v1/desktops/desk-1/restore', another), 'DESKTOP_BUSY', 409);
  await fixture.work('desk-1', { status: 'succeeded' });
  expect(await fixture.client.desktop('desk-1')).toMatchObject({ state: 'grace', checkpointId: oldest });
});

describe('on the command line', () => {
  function dormouse(...args: string[]): Promise<{ stdout: string; stderr: string }> {
    const main = join(__dirname, '../../dist/apps/cli/main.js');
    const env = { PATH: process.env['PATH'], DATA_DIR: fixture.directory };
    return new Promise((resolve) => {
      execFile(process.execPath, [main, ...args], { env }, (_, stdout, stderr) => resolve({ stdout, stderr }));
    });
  }

  test('checkpoints are listed, pinned and unpinned', async () => {
    await dormouse('checkpoint', 'pin', 'desk-1', oldest, '--reason', reason);
    const [head, ...rows] = (await dormouse('checkpoint', 'list', 'desk-1')).stdout.trimEnd().split('\n');
    expect(head).toMatch(/^CHECKPOINT +STATE +AGE +STORED +OF +LAST WOKEN +KEPT BECAUSE +PIN$/);
    const size = '4\\.66 GiB +64\\.0 MiB';
    expect(rows).toEqual([
      expect.stringMatching(new RegExp(`^${newest} +durable +\\d+ s +${size} +- +newest +-$`)),
      expect.stringMatching(
        new RegExp(
          `^${oldest} +durable +\\d+ s +${size} +\\d+ s ago +current, pinned, newest, last-restored +${reason}$`,
        ),
      ),
    ]);
    expect((await dormouse('checkpoint', 'unpin', 'desk-1', oldest)).stdout).toMatch(/kept because +current, newest/);
    const listed = JSON.parse((await dormouse('--json', 'checkpoint', 'list', 'desk-1')).stdout) as unknown;
    expect(listed).toMatchObject([{ id: newest }, { id: oldest, pin: null }]);
  });

  test('an older checkpoint is woken by its id, and a wrong one is told in one line', async () => {
    const { stderr } = await dormouse('desktop', 'restore', 'desk-1', '--checkpoint', randomUUID());
    expect(stderr).toMatch(
      /^dormouse: desk-1 keeps no checkpoint [^\n]*checkpoint list desk-1[^\n]* \(CHECKPOINT_UNKNOWN\)\n$/,
    );
    newest = await saved('desk-1');
    expect((await dormouse('desktop', 'restore', 'desk-1', '--checkpoint', oldest)).stdout).toMatch(/kind +restore/);
    await fixture.work('desk-1', { status: 'succeeded' });
    expect(await fixture.client.desktop('desk-1')).toMatchObject({ checkpointId: oldest });
  });
});
