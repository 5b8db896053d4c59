#!/usr/bin/env node
import { describeError } from '@dormouse/errors';
import { buildProgram } from './program';

/** Talking to the api and reading the configuration, which help takes neither of. */
function access(): typeof import('./access') {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return require('./access') as typeof import('./access');
}

// Whoever reads what we print has had enough (`… | head`): nothing is wrong, and nobody is there to be told. As SIGPIPE would end us.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(141);
  throw error;
});

const program = buildProgram({
  openAccess: () => access().openAccess(process.env),
  loadConfig: () => access().loadConfig(process.env),
  print: (text) => process.stdout.write(`${text}\n`),
  now: () => new Date(),
});

program.parseAsync().catch((error: unknown) => {
  const { code, message, details } = describeError(error);
  const { json } = program.opts<{ json?: boolean }>();
  process.stderr.write(json ? `${JSON.stringify({ code, message, details })}\n` : `dormouse: ${message} (${code})\n`);
  process.exitCode = 1;
});
