import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { objectKeys } from '@dormouse/checkpoint';
import { openBlobStore, putBlob, storageIdentity } from '@dormouse/storage';
import { S3Gate, s3Url, startS3Server } from '../contract/s3-server';
import { ApiFixture } from '../integration/api-fixture';
import { eventually } from '../integration/jobs-fixture';
import { startWorkerBeside } from '../integration/worker-beside';

jest.setTimeout(120_000);

let fixture: ApiFixture;
beforeAll(async () => {
  fixture = await ApiFixture.start();
});
afterAll(() => fixture.stop());
beforeEach(() => fixture.dataSource.query('TRUNCATE desktops, operations, checkpoints, hosts, data_keys CASCADE'));

/** What a worker says that does not start. */
async function refusal(environment: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const { child, lines, said } = startWorkerBeside(fixture, { DATA_DIR: newDirectory(), ...environment });
  lines.resume();
  expect(await once(child, 'close')).toEqual([1, null]);
  return said;
}

const newDirectory = () => join(fixture.directory, randomUUID());

async function stateOf(check: string): Promise<string> {
  const body = (await (await fetch(`${fixture.api.url}/readyz`)).json()) as {
    checks: Record<string, { state: string }>;
  };
  return body.checks[check]!.state;
}

/** Another host, that is heard, and its storage. */
async function otherHost(): Promise<string> {
  const storageUrl = `file://${newDirectory()}`;
  await (await openBlobStore(storageUrl)).close();
  await fixture.ledger.announceHost({ id: 'host-1', capabilities: { storage: await storageIdentity(storageUrl) } });
  return storageUrl;
}

async function durableCheckpoint(): Promise<{ desktopId: string; checkpointId: string }> {
  const checkpointId = randomUUID();
  await fixture.registered('ada');
  await fixture.dataSource.query(
    `INSERT INTO checkpoints (id, desktop_id, state, storage_prefix, disk_generation, ram_bytes, stored_bytes, facts,
       created_at, durable_at) VALUES ($1, 'ada', 'durable', 'x', NULL, 1, 1, '{}', now(), now())`,
    [checkpointId],
  );
  return { desktopId: 'ada', checkpointId };
}

test('a worker with another storage than a host that is heard does not start', async () => {
  await otherHost();
  const other = newDirectory();
  await (await openBlobStore(`file://${other}`)).close();
  expect(await refusal({ STORAGE_URL: `file://${other}` })).toEqual([
    expect.stringMatching(/^worker: STORAGE_URL names another storage than the host host-1 uses/),
  ]);
});

test('a mistyped STORAGE_URL makes no storage beside the one that is in use', async () => {
  await otherHost();
  const mistyped = newDirectory();
  expect(await refusal({ STORAGE_URL: `file://${mistyped}` })).toEqual([
    expect.stringMatching(/^worker: there is no storage in .* Correct STORAGE_URL, or mount/),
  ]);
  expect(existsSync(mistyped)).toBe(false);
});

test('nor does a storage that is not mounted begin anew while there are checkpoints', async () => {
  await durableCheckpoint();
  const unmounted = newDirectory();
  await mkdir(unmounted);
  expect(await refusal({ STORAGE_URL: `file://${unmounted}` })).toEqual([
    expect.stringMatching(/^worker: there is no storage in /),
  ]);
});

test('hosts that are fenced have no say, and a storage with the known checkpoints is the same whatever its name', async () => {
  const checkpoint = await durableCheckpoint();
  await fixture.dataSource.query('DELETE FROM hosts');
  await fixture.ledger.announceHost({ id: 'host-1', capabilities: { storage: 's3://as-it-was-called/ at elsewhere' } });
  const storageUrl = `file://${newDirectory()}`;
  const store = await openBlobStore(storageUrl);
  expect(await refusal({ STORAGE_URL: storageUrl })).toEqual([expect.stringContaining('host-1')]);

  await putBlob(store, objectKeys(checkpoint.desktopId, checkpoint.checkpointId).manifest, Buffer.from('a manifest'));
  await store.close();
  await starts({ STORAGE_URL: storageUrl });

  await fixture.dataSource.query(`UPDATE hosts SET intent = 'fenced' WHERE id = 'host-1'`);
  await fixture.dataSource.query(`DELETE FROM hosts WHERE id = 'host-2'`); // another machine is to have its name
  const empty = `file://${newDirectory()}`;
  await (await openBlobStore(empty)).close();
  await starts({ STORAGE_URL: empty });
});

async function starts(environment: NodeJS.ProcessEnv): Promise<void> {
  const keys = `file://${fixture.directory}/common-key.json`;
  const { child, lines, said } = startWorkerBeside(fixture, {
    DATA_DIR: newDirectory(),
    KEY_URL: keys,
    ...environment,
  });
  const ended = once(child, 'close');
  for await (const line of lines) if (line.includes('the worker takes jobs')) child.kill('SIGTERM');
  await ended;
  expect(said).toEqual([]);
  expect(child.exitCode).toBe(0);
}

test.each(['/proc/dormouse/storage', '/dev/null/storage'])('a storage in %s is refused in one line', async (path) => {
  expect(await refusal({ STORAGE_URL: `file://${path}` })).toEqual([
    expect.stringMatching(/^worker: opening the file store/),
  ]);
});

test('a worker starts without its S3, tells that everywhere, and takes it back when it is there again', async () => {
  const server = await startS3Server(newDirectory());
  const gate = await S3Gate.open(server.port);
  try {
    gate.decide = () => ({ status: 503, code: 'ServiceUnavailable' });
    const { child, lines } = startWorkerBeside(fixture, { DATA_DIR: newDirectory(), STORAGE_URL: s3Url(gate.port) });
    const said: string[] = [];
    lines.on('line', (line) => said.push(line));
    const ended = once(child, 'close');
    await eventually(() => said.some((line) => line.includes('the worker takes jobs')), 60_000);
    await eventually(async () => (await stateOf('storage')) === 'down');
    expect(said).toContainEqual(expect.stringMatching(/nothing can be saved or woken. Look at what STORAGE_URL names/));
    expect(await fixture.client.hosts()).toMatchObject([{ troubles: [{ part: 'storage', code: 'STORAGE_FAILED' }] }]);

    gate.decide = () => 'pass';
    await eventually(async () => (await stateOf('storage')) === 'up', 30_000);
    child.kill('SIGTERM');
    await ended;
  } finally {
    await gate.close();
    await server.stop();
  }
});
