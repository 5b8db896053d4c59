import { describeError } from '@dormouse/errors';
import { defaultGuestCache, ensureGuestImage } from './guest-image';

/** Builds the guest ahead of its first use: `node dist/test/guest/main.js [cache directory]`. */
ensureGuestImage(process.argv[2] ?? defaultGuestCache(), (step) => process.stderr.write(`guest: ${step}\n`)).then(
  (image) => process.stdout.write(`${JSON.stringify(image, null, 2)}\n`),
  (error: unknown) => {
    process.stderr.write(`guest: ${describeError(error).message}\n`);
    process.exitCode = 1;
  },
);
