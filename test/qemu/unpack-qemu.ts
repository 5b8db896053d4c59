import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { buildOnce, DebianPackages, runProgram } from '../debian';
import { qemuRecipes, type QemuVersion } from './recipe';

const program = 'qemu-system-x86_64';

/**
 * Stands for the program: with the firmware and the modules that were unpacked with it, where they would otherwise be
 * those of the installed QEMU. It finds them beside itself, and the process it becomes is QEMU's own.
 */
const launcher = `#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
export QEMU_MODULE_DIR="$root/usr/lib/x86_64-linux-gnu/qemu"
exec "$root/usr/bin/${program}" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" -L /usr/lib/ipxe/qemu "$@"
`;

export function defaultQemuCache(): string {
  return resolve(process.env['DATA_DIR'] ?? '.dormouse', 'cache', 'qemu');
}

/** Where a QEMU of this version is, once it was unpacked. */
export function unpackedQemu(cache: string, version: QemuVersion): string {
  return join(cache, version, program);
}

/**
 * Fetches a QEMU from the distribution's mirror and unpacks it into the cache, unless it is there; installs nothing and
 * needs no root. What is there is never renewed: it has to serve without network.
 * @returns the program to start
 * @throws DEPENDENCY_MISSING when this machine is not of the release it was built for, when it cannot be fetched, and when
 *   what was fetched does not run
 */
export async function ensureQemu(
  cache: string,
  version: QemuVersion,
  onProgress: (step: string) => void = () => undefined,
): Promise<string> {
  const { release, suite, packages } = qemuRecipes[version];
  await buildOnce(join(cache, version), async (building) => {
    await requireRelease(release, version);
    const work = join(building, 'work');
    await mkdir(work);
    onProgress(`fetching the package lists of ${suite}`);
    const backports = await DebianPackages.ofSuite(work, suite);
    onProgress(`fetching and unpacking ${packages.join(', ')}`);
    const files: string[] = [];
    for (const name of packages) files.push(...(await backports.unpack(name, () => false, join(building, 'root'))));
    await rm(work, { recursive: true });
    const built = join(building, program);
    await writeFile(built, launcher, { mode: 0o755 });
    const answer = (await runProgram(built, ['--version'])).toString();
    if (!answer.startsWith(`QEMU emulator version ${version}.`)) {
      throw new DormouseError('DEPENDENCY_MISSING', `${suite} holds another QEMU than ${version}: ${answer.trim()}`);
    }
    await writeFile(join(building, 'qemu.json'), `${JSON.stringify({ suite, packages: files }, null, 2)}\n`);
  });
  return unpackedQemu(cache, version);
}

async function requireRelease(release: string, version: QemuVersion): Promise<void> {
  const here = /^VERSION_CODENAME=(.*)$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1];
  if (here === release) return;
  throw new DormouseError(
    'DEPENDENCY_MISSING',
    `QEMU ${version} is unpacked from packages for Debian ${release}, and this machine has ${here ?? 'another system'}; ` +
      'set QEMU_BINARIES to the QEMUs that the tests are to run on',
  );
}
