import { describeError } from '@dormouse/errors';
import { defaultGuestCache, ensureGuestImage } from './guest-image';
import { recipes, type GuestKind } from './recipe';

/** Builds a guest ahead of its first use: `npm run guest -- [small | desktop] [cache directory]`. */
async function main(kind = 'small', cache = defaultGuestCache()): Promise<void> {
  if (!(kind in recipes)) throw new Error(`there is no guest "${kind}", only ${Object.keys(recipes).join(' and ')}`);
  const image = await ensureGuestImage(cache, (step) => process.stderr.write(`guest: ${step}\n`), kind as GuestKind);
  process.stdout.write(`${JSON.stringify(image, null, 2)}\n`);
}

main(...process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`guest: ${describeError(error).message}\n`);
  process.exitCode = 1;
});
