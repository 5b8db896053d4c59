import { join, relative } from 'node:path';
import { ApiClient, findApi, type ApiAccess } from '@dormouse/api-client';
import {
  claimDataDirectory,
  dataPaths,
  loadKeys,
  type DormouseConfig,
  type Keys,
  type ServiceConfig,
  type Variable,
} from '@dormouse/config';
import { describeError, type DormouseError } from '@dormouse/errors';
import { prettyLines, type Logger } from '@dormouse/observability';
import { Child } from './child';
import { startServices, type Services } from './services';
import { settleDesktops, withdraw } from './settle-desktops';
import { whenAborted } from './when-aborted';

/** How long api and worker may take to stop. */
const childPatienceMs = 10_000;

export interface Launched {
  readonly url: string;
  /** What the host needs and cannot use, as its worker has found: a sentence each. */
  readonly troubles: readonly string[];
  /** Resolves with what happened when a service of ours cannot be kept running: nothing can go on then. */
  readonly lost: Promise<DormouseError>;
  /** Puts desktops to sleep when their database goes with us, then ends everything. `hurry` cuts the waiting short. */
  stop(hurry: AbortSignal): Promise<void>;
}

/**
 * Starts services, api and worker, and resolves when they are ready.
 * @throws what a service or a child could not be started for; nothing is left running then.
 */
export async function launch(config: DormouseConfig, logger: Logger, stopped: AbortSignal): Promise<Launched> {
  await claimDataDirectory(config.dataDir, config.hostId);
  const services = await startServices(config, logger);
  const children: Child[] = [];
  const stopAll = async () => {
    await Promise.all(children.map((child) => child.stop(childPatienceMs)));
    await services.stop();
  };
  try {
    const keys = await loadKeys(config);
    const environments = { api: childEnvironment(services.config), worker: workerEnvironment(services.config) };
    // The api brings the schema up to date: the worker comes after it.
    // Before there is a worker that would do it. Only with a database of our own: no other launcher can be at it then.
    const forgetEarlierShutdown = async (): Promise<void> => {
      await withdraw({ client: new ApiClient({ url: await findApi(config), adminKey: keys.adminKey }), logger });
    };
    for (const name of ['api', 'worker'] as const) {
      if (stopped.aborted) break;
      const script = join(__dirname, '..', name, 'main.js');
      const child = new Child({
        name,
        script,
        environment: environments[name],
        logger,
        onLine: lineWriter(config, name),
      });
      children.push(child);
      await Promise.race([child.ready, whenAborted(stopped)]);
      if (name === 'api' && services.embedded.postgres && !stopped.aborted) await forgetEarlierShutdown();
    }
    const url = stopped.aborted ? '' : await findApi(config);
    const troubles = stopped.aborted ? [] : await troublesOf(config.hostId, { url, adminKey: keys.adminKey });
    return {
      url,
      troubles,
      lost: services.lost,
      stop: async (hurry) => {
        await settle(services, { url, keys, logger, hurry });
        await stopAll();
      },
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

async function troublesOf(hostId: string, access: ApiAccess): Promise<readonly string[]> {
  const hosts = await new ApiClient(access).hosts();
  const ours = hosts.find(({ id }) => id === hostId);
  return ours?.troubles.map(({ code, message }) => `${message} (${code})`) ?? [];
}

/** Children read the same configuration, with the services' addresses filled in; their lines are formatted here. */
function childEnvironment({ dataDir, databaseUrl, redisUrl }: ServiceConfig): NodeJS.ProcessEnv {
  return {
    ...process.env,
    DATA_DIR: dataDir,
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    LOG_FORMAT: 'json',
  };
}

/** Guests and what reads their memory are the worker's children: what only the api needs to know is kept from it. */
function workerEnvironment(config: ServiceConfig): NodeJS.ProcessEnv {
  const environment = childEnvironment(config);
  for (const name of apiSecrets) delete environment[name];
  return environment;
}

const apiSecrets: readonly Variable[] = ['ADMIN_KEY', 'WEBHOOK_SECRETS', 'BROKER_SECRETS', 'WEBHOOK_SECRETS_FILE'];

function lineWriter({ logFormat }: DormouseConfig, name: string): (line: string) => void {
  const out = { write: (text: string) => void process.stdout.write(text) };
  const lines = logFormat === 'pretty' ? prettyLines(out) : out;
  // What is no log line (a crash of Node itself) is told whose it is.
  return (line) => lines.write(line.startsWith('{') ? `${line}\n` : `${name}| ${line}\n`);
}

async function settle(
  { embedded }: Services,
  { url, keys, logger, hurry }: { url: string; keys: Keys; logger: Logger; hurry: AbortSignal },
): Promise<void> {
  if (url === '') return;
  if (!embedded.postgres) {
    logger.info('desktops are left running: their database is not ours, and the next worker of this host finds them');
    return;
  }
  try {
    const client = new ApiClient({ url, adminKey: keys.adminKey });
    const left = await settleDesktops({ client, logger, hurry });
    if (left.length > 0) logger.error(`still running: ${left.join(', ')}; the next start finds them`);
  } catch (error) {
    // Whatever it was, the rest has to be stopped all the same.
    logger.error({ err: error }, `desktops could not be put to sleep: ${describeError(error).message}`);
  }
}

/** In the directory of this clone. Never by npx: elsewhere it would fetch a stranger's package of this name. */
const ownCommand = 'npm run -s dormouse --';

/** For a person: where it is, where the key is, what to try. */
export function welcome({ url, troubles }: Pick<Launched, 'url' | 'troubles'>, { dataDir }: DormouseConfig): string {
  const { adminKeyFile } = dataPaths(dataDir);
  return [
    '',
    troubles.length === 0 ? '  Dormouse is up' : '  Dormouse is up, but in trouble',
    ...troubles.map((trouble) => `    trouble    ${trouble}`),
    `    api        ${url}   (its description: ${url}/docs)`,
    `    admin key  ${relative(process.cwd(), adminKeyFile) || adminKeyFile}`,
    `    try        ${ownCommand} host list`,
    `               ${ownCommand} --help`,
    '    stop       Ctrl-C',
    '',
    '',
  ].join('\n');
}
