import { describeError } from '@dormouse/errors';
import { isQemuVersion, qemuRecipes } from './recipe';
import { defaultQemuCache, ensureQemu } from './unpack-qemu';

/** Unpacks a QEMU beside the distribution's: `npm run qemu -- 10 [cache directory]`. Writes the program's path. */
async function main(version = '10', cache = defaultQemuCache()): Promise<void> {
  if (!isQemuVersion(version)) {
    throw new Error(`there is no QEMU "${version}" to unpack, only ${Object.keys(qemuRecipes).join(' and ')}`);
  }
  const program = await ensureQemu(cache, version, (step) => process.stderr.write(`qemu: ${step}\n`));
  process.stdout.write(`${program}\n`);
}

main(...process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`qemu: ${describeError(error).message}\n`);
  process.exitCode = 1;
});
