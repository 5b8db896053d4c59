import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonObject } from '@dormouse/session';
import { Client } from 'pg';
import { processesOf, type RunningDormouse } from '../scenario';
import { TestBed } from '../scenario/test-bed';

jest.setTimeout(120_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let database: Client;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  database = new Client({ connectionString: (await dormouse.services()).databaseUrl });
  await database.connect();
});

afterAll(async () => {
  await database?.end();
  await bed?.end();
});

async function put(id: string, changes: JsonObject): Promise<{ status: number; problem: JsonObject }> {
  const response = await fetch(`${dormouse.url}/v1/desktops/${id}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${dormouse.keys.adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ launchSpec: { ...bed.launchSpec(128), ...changes } }),
  });
  return { status: response.status, problem: (await response.json()) as JsonObject };
}

/** The index of the golden image lies beside the layers. */
async function layersOnHost(): Promise<string[]> {
  return (await bed.filesBelow('disks')).filter((path) => !/^\.?images\//.test(path));
}

/** A refused desktop: only the audit log, and the operation that says why, know of it. */
async function expectNothingStored(id: string): Promise<void> {
  await expect(dormouse.api.desktop(id)).rejects.toMatchObject({ code: 'DESKTOP_UNKNOWN' });
  for (const table of ['checkpoints', 'disk_generations', 'inbox_events']) {
    expect((await database.query(`SELECT 1 FROM ${table} WHERE desktop_id = $1`, [id])).rows).toEqual([]);
  }
  const audit = await database.query('SELECT action FROM audit_log WHERE target = $1', [id]);
  expect(audit.rows.length).toBeGreaterThan(0);
  expect(await layersOnHost()).toEqual([]);
  expect((await readdir(join(bed.dataDir, 'run'))).filter((name) => name.includes(id))).toEqual([]);
  expect(await processesOf(join(bed.dataDir, 'run'))).toEqual([]);
}

test('a launch spec that works is registered with the fingerprint of its machine, and leaves no trial machine', async () => {
  expect(await put('good', {})).toMatchObject({ status: 201, problem: { id: 'good', state: 'off' } });
  expect((await dormouse.api.desktop('good')).fingerprint).toMatchObject({ machine: 'pc-q35-7.2', memoryMiB: 128 });
  expect(await processesOf(join(bed.dataDir, 'run'))).toEqual([]);
  expect(await layersOnHost()).toEqual([]);
});

test('a device that QEMU cannot migrate is refused with QEMU’s reason, and nothing is stored', async () => {
  const drive = ['-drive', 'if=none,id=scratch,driver=null-co,size=1M', '-device', 'nvme,serial=x,drive=scratch'];
  const { status, problem } = await put('stuck', { extraArguments: drive });
  expect({ status, code: problem['code'] }).toEqual({ status: 422, code: 'DESKTOP_NOT_MIGRATABLE' });
  expect(problem['detail']).toMatch(/non-migratable.*nvme/);
  await expectNothingStored('stuck');
});

test('a golden image that is not there is refused by its name, and nothing is stored', async () => {
  const missing = join(bed.dataDir, 'no-such-image.qcow2');
  const { status, problem } = await put('blank', { disks: [{ image: missing }] });
  expect({ status, code: problem['code'] }).toEqual({ status: 422, code: 'LAUNCH_SPEC_INVALID' });
  expect(problem['detail']).toContain(missing);
  await expectNothingStored('blank');
});

test('an argument that QEMU does not know is refused with what QEMU says, and nothing is stored', async () => {
  const { status, problem } = await put('odd', { extraArguments: ['-device', 'no-such-device'] });
  expect({ status, code: problem['code'] }).toEqual({ status: 422, code: 'LAUNCH_SPEC_INVALID' });
  expect(problem['detail']).toContain('no-such-device');
  await expectNothingStored('odd');
});

test('a machine type without a version is refused before any machine is built', async () => {
  const { status, problem } = await put('drifting', { machine: 'q35' });
  expect({ status, code: problem['code'] }).toEqual({ status: 422, code: 'LAUNCH_SPEC_INVALID' });
  expect(problem['detail']).toContain('versioned machine type');
  await expectNothingStored('drifting');
  expect(await dormouse.api.operationsOf('drifting')).toEqual([]);
});
