import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath, URL } from 'node:url';
import { fail, say } from './say.mjs';

/**
 * What Dormouse starts and where it comes from on Debian and Ubuntu. Programs are looked for, not packages: a QEMU or a
 * Valkey from elsewhere serves as well, and looking takes microseconds.
 */
const needs = [
  { package: 'qemu-system-x86', isThere: () => program('qemu-system-x86_64') },
  { package: 'qemu-utils', isThere: () => program('qemu-img') },
  { package: 'redis-server', isThere: () => program('redis-server') || program('valkey-server'), unless: 'REDIS_URL' },
  { package: 'postgresql', isThere: () => program('postgres') || debianPostgres(), unless: 'DATABASE_URL' },
  // For the guest of the demo and the tests: its disk, its initramfs, its kernel's compressed modules.
  { package: 'e2fsprogs', isThere: () => program('mke2fs') },
  { package: 'cpio', isThere: () => program('cpio') },
  { package: 'xz-utils', isThere: () => program('xz') },
  { package: 'zstd', isThere: () => program('zstd') },
  // For the desktop guest of the benchmarks, which nothing else needs.
  { package: 'mmdebstrap', isThere: () => program('mmdebstrap'), only: ['preguest', 'prebench'] },
  { package: 'fakeroot', isThere: () => program('fakeroot'), only: ['preguest', 'prebench'] },
  // For the tests of guests on a bridge.
  { package: 'iproute2', isThere: () => program('ip'), only: ['pretest'] },
  // flock for the set-up itself; setpriv to run Postgres, which refuses to be root, as somebody else.
  { package: 'util-linux', isThere: () => program('flock') && program('setpriv') },
];

export function isNeeded() {
  return missingPackages().length > 0;
}

export function run() {
  const packages = missingPackages();
  const command = commandAsRoot();
  if (command === null) {
    fail(`please install what is missing: sudo apt-get install --no-install-recommends ${packages.join(' ')}`);
  }
  say(`installing ${packages.join(' ')} (apt)`);
  const script = fileURLToPath(new URL('install-packages.sh', import.meta.url));
  const [file, ...args] = [...command, script, ...packages];
  const installed = spawnSync(file, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8', maxBuffer: 2 ** 26 });
  const stillMissing = missingPackages();
  if (installed.status !== 0 || stillMissing.length > 0) {
    process.stderr.write(`${installed.stdout}${installed.stderr}`);
    fail(`apt could not install ${stillMissing.join(' ')}: its own words are above`);
  }
}

function missingPackages() {
  // Tests start services of their own whatever the environment offers.
  const doing = process.env.npm_lifecycle_event ?? '';
  const startsOwnServices = doing === 'pretest';
  return needs
    .filter(({ only }) => only === undefined || only.includes(doing))
    .filter(({ unless }) => startsOwnServices || unless === undefined || !process.env[unless])
    .filter(({ isThere }) => !isThere())
    .map((need) => need.package);
}

/** How to run a script as root without being asked for a password, or null. */
function commandAsRoot() {
  if (!program('apt-get')) return null;
  if (process.getuid() === 0) return ['sh'];
  const sudo = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' });
  return sudo.status === 0 ? ['sudo', '-n', 'sh'] : null;
}

function program(name) {
  // The sbin directories are in root's PATH only, their programs are for everybody.
  const directories = `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter);
  return directories.some((directory) => isExecutable(join(directory, name)));
}

/** Debian keeps the server's programs out of PATH, one directory per major version. */
function debianPostgres() {
  return versions('/usr/lib/postgresql').some((version) =>
    isExecutable(join('/usr/lib/postgresql', version, 'bin', 'postgres')),
  );
}

function versions(directory) {
  try {
    return readdirSync(directory);
  } catch {
    return []; // no such directory: no version is installed
  }
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // the answer, not a failure
  }
}
