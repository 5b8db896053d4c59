import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, requireServices, settingRows } from '@dormouse/config';
import { CORE_SCHEMA, load, mergeTag } from 'js-yaml';

interface Service {
  readonly image?: string;
  readonly build?: { readonly target: string };
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly command?: readonly string[];
  readonly healthcheck?: object;
  readonly volumes?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

const projectRoot = join(__dirname, '../..');
const read = (file: string) => readFileSync(join(projectRoot, file), 'utf8');
const compose = load(read('docker-compose.yml'), { schema: CORE_SCHEMA.withTags(mergeTag) }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const services = Object.entries(compose.services);

/** As `docker compose` fills it in when only what has to be set is: `${NAME:-default}` is its default, `${NAME:?why}` is a must. */
function environmentOf(name: string): Record<string, string> {
  const { environment = {} } = compose.services[name]!;
  return Object.fromEntries(
    Object.entries(environment).map(([key, value]) => [
      key,
      String(value)
        .replace(/\$\{\w+:-([^}]*)\}/g, '$1')
        .replace(/\$\{\w+:\?[^}]*\}/g, 'given'),
    ]),
  );
}

test('api, worker, Postgres, Valkey and an S3 store are services of their own', () => {
  expect(Object.keys(compose.services).sort()).toEqual(['api', 'bucket', 'postgres', 's3', 'valkey', 'worker']);
});

test.each(['api', 'worker'])(
  'the environment of the %s is a valid configuration, and every variable is known',
  (name) => {
    const environment = environmentOf(name);
    const known = settingRows.map(({ variable }) => variable as string);
    expect(Object.keys(environment).filter((variable) => !known.includes(variable))).toEqual([]);
    expect(requireServices(loadConfig(environment))).toMatchObject({
      databaseUrl: 'postgres://dormouse:given@postgres:5432/dormouse',
      redisUrl: 'redis://valkey:6379',
    });
  },
);

test('whatever is waited for can be waited for', () => {
  for (const [, { depends_on = {} }] of services) {
    for (const [other, { condition }] of Object.entries(depends_on)) {
      const awaited = compose.services[other];
      expect(awaited).toBeDefined();
      if (condition === 'service_healthy') expect(awaited!.healthcheck).toBeDefined();
    }
  }
});

test('images are pinned, and what is built is a stage of the Dockerfile', () => {
  const stages = [...read('Dockerfile').matchAll(/^FROM \S+ AS (\S+)$/gm)].map(([, stage]) => stage);
  for (const [, { image, build }] of services) {
    if (build !== undefined) expect(stages).toContain(build.target);
    else expect(image).toMatch(/^[\w./-]+:(?!latest)\S+$/);
  }
});

test('api and worker share the key file', () => {
  for (const name of ['api', 'worker']) {
    expect(loadConfig(environmentOf(name)).keyUrl).toBe('file:///keys/master.json');
    expect(compose.services[name]!.volumes).toContain(name === 'api' ? 'keys:/keys' : 'keys:/keys:ro');
  }
});

test('every named volume is declared', () => {
  const named = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0]!));
  expect(Object.keys(compose.volumes)).toEqual(
    expect.arrayContaining(named.filter((name) => /^[a-z0-9-]+$/.test(name))),
  );
});

test('Valkey evicts nothing, and keeps what it has over a restart', () => {
  const command = compose.services['valkey']!.command!.join(' ');
  expect(command).toContain('--maxmemory-policy noeviction');
  expect(command).toContain('--appendonly yes');
});

test('no password has a default, and none is for the worker that only the api needs', () => {
  const text = read('docker-compose.yml');
  const withDefault = [...text.matchAll(/\$\{(\w*(?:PASSWORD|SECRET|ACCESS_KEY)\w*):-([^}]+)\}/g)].map(
    ([, name]) => name,
  );
  expect(withDefault).toEqual([]);
  for (const name of ['POSTGRES_PASSWORD', 'S3_ACCESS_KEY', 'S3_SECRET_KEY']) {
    expect(text).toContain(`\${${name}:?`);
    expect(read('deploy/docker/example.env')).toContain(`${name}=\n`);
  }
  const worker = Object.keys(environmentOf('worker'));
  for (const name of ['ADMIN_KEY', 'WEBHOOK_SECRETS', 'BROKER_SECRETS']) expect(worker).not.toContain(name);
});

test('api and worker have the privileges they need, and no others', () => {
  for (const name of ['api', 'worker']) {
    expect(compose.services[name]!.cap_drop).toEqual(['ALL']);
    expect(compose.services[name]!.security_opt).toContain('no-new-privileges:true');
  }
  expect(read('docker-compose.yml')).not.toMatch(/unconfined|privileged: true/);
  const profile = JSON.parse(read('deploy/docker/seccomp.json')) as {
    defaultAction: string;
    syscalls: { names: string[]; action: string; includes?: object }[];
  };
  expect(profile.defaultAction).toBe('SCMP_ACT_ERRNO');
  const always = profile.syscalls.filter(
    ({ action, includes }) => action === 'SCMP_ACT_ALLOW' && includes === undefined,
  );
  const names = always.flatMap((rule) => rule.names);
  expect(names).toContain('userfaultfd');
  for (const denied of ['mount', 'bpf', 'init_module', 'reboot', 'keyctl']) expect(names).not.toContain(denied);
});
