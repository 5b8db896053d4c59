import { ApiFixture, launchSpec, problemOf } from './api-fixture';

/** What a key that is limited to pools may have run on a host, and what an unlimited one may. */
jest.setTimeout(60_000);

const mac = '52:54:00:d0:b3:01';
let fixture: ApiFixture;
let limited: string;

afterEach(() => fixture.stop());

async function start(environment: Record<string, string> = {}): Promise<void> {
  fixture = await ApiFixture.start(environment);
  await fixture.client.putPool('red', { graceMs: 60_000, keepCheckpoints: 2 });
  limited = (await fixture.client.createApiKey('red', { scope: 'admin', pools: ['red'], reason: 'a test' })).key;
  await fixture.announceHost();
}

function put(id: string, more: object, key = limited): Promise<Response> {
  const body = { poolId: 'red', launchSpec: { ...launchSpec, ...more } };
  return fixture.fetch(`/v1/desktops/${id}`, { method: 'PUT', body, headers: { authorization: `Bearer ${key}` } });
}

const beyond: readonly (readonly [string, object])[] = [
  ['extraArguments', { extraArguments: ['-device', 'virtio-balloon-pci'] }],
  ['/etc/shadow', { disks: [{ image: '/etc/shadow', format: 'raw', readOnly: true }] }],
  ['/images/../etc/shadow', { disks: [{ image: '/images/../etc/shadow', format: 'raw' }] }],
  ['/keys/admin.key', { kernel: { image: '/images/vmlinuz', initrd: '/keys/admin.key' } }],
  ['nics.0.network', { nics: [{ network: { type: 'passt' } }] }],
  ['nics.1.network', { nics: [{}, { mac, network: { type: 'tap', ifname: 'tap0' } }] }],
  ['nics.0.network', { nics: [{ mac, network: { type: 'bridge', bridge: 'br0' } }] }],
];

test('a key that is limited to pools has nothing run that reads, or joins, what is the host’s', async () => {
  await start({ IMAGE_DIRS: '/images' });
  for (const [field, more] of beyond) {
    const problem = await problemOf(await put('mine', more), 'LAUNCH_SPEC_FORBIDDEN', 403);
    expect(problem.problems).toEqual([expect.stringContaining(field)]);
    expect((await fixture.audit()).at(-1)).toMatchObject({ actor: 'key:red', outcome: 'LAUNCH_SPEC_FORBIDDEN' });
  }
  expect(await fixture.dataSource.query('SELECT id FROM desktops')).toEqual([]);
});

test('it may have what lies in the allowed directories; without such directories, nothing', async () => {
  await start({ IMAGE_DIRS: '/srv/other,/images' });
  const examined = fixture.work('mine', { status: 'succeeded', desktop: { fingerprint: {} } });
  const disks = [{ image: '/images/gold.qcow2' }];
  expect((await put('mine', { disks, nics: [{}] })).status).toBe(201);
  await examined;
  await fixture.stop();
  await start();
  await problemOf(await put('mine', { disks }), 'LAUNCH_SPEC_FORBIDDEN', 403);
});

test('an unlimited admin key may have all of it', async () => {
  await start();
  for (const [n, [, more]] of beyond.entries()) {
    const id = `desk-${n}`;
    const examined = fixture.work(id, { status: 'succeeded', desktop: { fingerprint: {} } });
    expect((await put(id, more, fixture.keys.adminKey)).status).toBe(201);
    await examined;
  }
});
