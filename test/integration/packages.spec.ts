import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const read = <T>(path: string): T => JSON.parse(readFileSync(join(root, path), 'utf8')) as T;

interface Locked {
  readonly version?: string;
  readonly engines?: { readonly node?: string };
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const { packages } = read<{ packages: Record<string, Locked> }>('package-lock.json');

test('no package wants a newer Node than the oldest one that Dormouse says it runs on', () => {
  const { engines } = read<{ engines: { node: string } }>('package.json');
  expect(engines.node).toBe('>=20.19');
  const leastMajors = Object.entries(packages).map(([path, { engines: wanted }]) => ({
    path,
    // The least of the alternatives, such as 20 in `^20.19 || >=22`.
    least: Math.min(...(wanted?.node ?? '>=0').split('||').map((one) => Number(/\d+/.exec(one)?.[0] ?? 0))),
  }));
  expect(leastMajors.filter(({ least }) => least > 20)).toEqual([]);
});

test('the lock file holds the packages of every platform, without which npm refuses it there', () => {
  const versions = new Map(
    Object.entries(packages).map(([path, { version }]) => [
      path.slice(path.lastIndexOf('node_modules/') + 13),
      version,
    ]),
  );
  const wanted = Object.values(packages).flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies));
  expect(wanted.filter((name) => !versions.has(name))).toEqual([]);
  // Ours on arm64, as on amd64; what is compiled for neither would be found out there at the first save.
  for (const libc of ['gnu', 'musl'])
    expect(versions.get(`@toondepauw/node-zstd-linux-arm64-${libc}`)).toBe(versions.get('@toondepauw/node-zstd'));
  const prebuilt = readdirSync(join(root, 'node_modules/@cloudpss/zstd/prebuilds/linux-arm64'));
  expect(prebuilt).toEqual(expect.arrayContaining([expect.stringContaining('glibc'), expect.stringContaining('musl')]));
});

test('no package reports an installation to its maker', () => {
  const reporter = 'node_modules/@scarf/scarf';
  expect(Object.keys(packages)).toContain(reporter); // comes with swagger-ui-dist; once it does not, nothing is left to do here
  // Read by its script, which looks at the package.json that depends on it (its documentation: opting out as a user).
  expect(read<{ scarfSettings?: object }>('package.json').scarfSettings).toEqual({ enabled: false });
  expect(readFileSync(join(root, 'scripts/setup/node-modules.mjs'), 'utf8')).toContain("'--ignore-scripts'");
  expect(readFileSync(join(root, 'Dockerfile'), 'utf8')).not.toMatch(/npm (ci|install)(?!.*--ignore-scripts)/);
});
