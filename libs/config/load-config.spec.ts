import { isDormouseError } from '@dormouse/errors';
import { hostIdFrom, loadConfig, requireServices, settingRows, type Environment } from '@dormouse/config';

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

function refusal(environment: Environment): { message: string; variables: unknown } {
  try {
    loadConfig(environment);
  } catch (error) {
    if (isDormouseError(error, 'CONFIG_INVALID'))
      return { message: error.message, variables: error.details['variables'] };
    throw error;
  }
  throw new Error('the configuration was accepted');
}

test('an empty environment is a configuration', () => {
  expect(loadConfig({})).toMatchObject({
    dataDir: `${process.cwd()}/.dormouse`,
    databaseUrl: null,
    redisUrl: null,
    storageUrl: `file://${process.cwd()}/.dormouse/storage`,
    keyUrl: `file://${process.cwd()}/.dormouse/keys/master.json`,
    disksDir: `${process.cwd()}/.dormouse/disks`,
    garbageGraceMs: 600_000,
    apiHost: '127.0.0.1',
    apiPort: null,
    accelerator: 'auto',
  });
});

test('a variable set to nothing counts as not set', () => {
  expect(loadConfig({ DATABASE_URL: '', API_PORT: ' ', WEBHOOK_SECRETS: '' })).toEqual(loadConfig({}));
});

test('the configuration cannot be changed afterwards', () => {
  const config = loadConfig({ WEBHOOK_SECRETS: secret });
  expect(Object.isFrozen(config)).toBe(true);
  expect(Object.isFrozen(config.webhookSecrets)).toBe(true);
});

test.each([
  ['API_PORT', '70777'],
  ['API_PORT', '12abc'],
  ['HOST_ID', 'Host.Name'],
  ['HOST_MEMORY_MIB', '-1'],
  ['GC_GRACE_S', '10m'],
  ['ACCEL', 'hax'],
  ['LOG_LEVEL', 'loud'],
  ['LOG_FORMAT', 'xml'],
])('%s=%s is refused with its value and what it should be', (variable, value) => {
  const shape = settingRows.find((row) => row.variable === variable)!.shape;
  const { message, variables } = refusal({ [variable]: value });
  expect(variables).toEqual([variable]);
  expect(message).toBe(`${variable} is "${value}"; it should be ${shape}`);
});

test.each([
  ['DATABASE_URL', 'mysql://root:hunter2@db/dormouse'],
  ['REDIS_URL', 'http://:hunter2@redis'],
  ['STORAGE_URL', 'ftp://hunter2@store'],
  ['KEY_URL', 'https://hunter2@vault/transit/dormouse'],
  ['VAULT_TOKEN', 'hunter2 hunter2'],
  ['ADMIN_KEY', 'hunter2'],
  ['WEBHOOK_SECRETS', `${secret},hunter2`],
  ['BROKER_SECRETS', `/eu=${secret},/us=hunter2`],
  ['BROKER_SECRETS', '/eu=whsec_hunter2'],
])('a wrong %s is refused without showing its value', (variable, value) => {
  const { message } = refusal({ [variable]: value });
  expect(message).toContain(`${variable} has a value that cannot be used; it should be`);
  expect(message).not.toContain('hunter2');
});

test('all problems are told at once', () => {
  const { message, variables } = refusal({ API_PORT: 'x', ACCEL: 'y', LOG_LEVEL: 'z' });
  expect(variables).toEqual(['API_PORT', 'ACCEL', 'LOG_LEVEL']);
  expect(message.split('\n')).toHaveLength(3);
});

test('several webhook secrets are read in their order', () => {
  const other = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;
  expect(loadConfig({ WEBHOOK_SECRETS: `${secret}, ${other}` }).webhookSecrets).toEqual([secret, other]);
});

test('a broker may have several secrets of its own, under its source as it stands in the events', () => {
  const other = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;
  const BROKER_SECRETS = `/brokers/eu=${secret}, /brokers/eu=${other},https://us.example/x?a=b=${other}`;
  expect(loadConfig({ BROKER_SECRETS }).brokerSecrets).toEqual([
    { source: '/brokers/eu', secret },
    { source: '/brokers/eu', secret: other },
    { source: 'https://us.example/x?a=b', secret: other },
  ]);
});

test('a process that needs services is told which one is missing', () => {
  expect(() => requireServices(loadConfig({ DATABASE_URL: 'postgres://db/dormouse' }))).toThrow(/REDIS_URL is not set/);
  const services = { DATABASE_URL: 'postgres://db/dormouse', REDIS_URL: '/run/redis.sock' };
  expect(requireServices(loadConfig(services)).redisUrl).toBe('/run/redis.sock');
});

test.each([
  ['desk-host-1', 'desk-host-1'],
  ['Host.Example.COM', 'host-example-com'],
  ['__odd__', 'odd'],
  ['', 'localhost'],
  ['a'.repeat(80), 'a'.repeat(63)],
])('the host name %j gives the host id %j', (name, id) => {
  expect(hostIdFrom(name)).toBe(id);
});
