import { startPostgres, startRedis } from '@dormouse/embedded';

/**
 * `node --require …/typescript.cjs embedded-owner.ts postgres|redis DIRECTORY`: a process that owns an embedded service,
 * says in one line how to reach it, and then does nothing but ignore Ctrl-C until it is killed.
 */
async function main(service: string, directory: string): Promise<void> {
  process.on('SIGINT', () => undefined);
  const log = () => undefined;
  const address =
    service === 'postgres'
      ? (await startPostgres({ directory, log })).url
      : (await startRedis({ directory, log })).socketPath;
  process.stdout.write(`${address}\n`);
  setInterval(() => undefined, 60_000);
}

void main(process.argv[2]!, process.argv[3]!);
