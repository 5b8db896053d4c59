import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DormouseError } from '@dormouse/errors';
import { dataPaths } from './data-directory';
import { hostOfDataDirectory } from './data-directory-claim';
import { settingRows, settings, type RateLimit, type Slots, type Values, type Variable } from './settings';

/** Everything that the environment decides, read once. `null`: not set, and what then happens is in the table. */
export interface DormouseConfig {
  /** Absolute. */
  readonly dataDir: string;
  readonly databaseUrl: string | null;
  /** A URL or the absolute path of a unix socket. */
  readonly redisUrl: string | null;
  /** `file:` or `s3:`. */
  readonly storageUrl: string;
  /** Of disk layers; absolute. */
  readonly disksDir: string;
  /** What nobody needs any more is removed after this long. */
  readonly garbageGraceMs: number;
  /** `file:` or `vault+http(s):`. */
  readonly keyUrl: string;
  readonly vaultToken: string | null;
  readonly hostId: string;
  readonly hostMemoryMiB: number | null;
  readonly hostSlots: Slots;
  readonly storageSlots: Slots;
  readonly apiHost: string;
  readonly apiPort: number | null;
  /** Where workers serve their metrics. */
  readonly metricsHost: string;
  readonly metricsPort: number | null;
  readonly adminKey: string | null;
  readonly webhookSecrets: readonly string[] | null;
  readonly brokerSecrets: readonly BrokerSecret[];
  /** Absolute; null: the secrets are those above. */
  readonly webhookSecretsFile: string | null;
  readonly rateLimits: { readonly keys: RateLimit; readonly brokers: RateLimit };
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  readonly qemuBinary: string;
  /** `uid:gid` or a name; null: as the worker. */
  readonly qemuUser: string | null;
  /** Where the files that launch specs name may lie; absolute. Null: anywhere, for keys that are not limited to pools. */
  readonly imageDirs: readonly string[] | null;
  /** Machines of sleeping desktops that each worker keeps started. */
  readonly machinesInWaiting: number;
  /** What is to be otherwise than usual when a guest is woken. */
  readonly wakeManner: NonNullable<Values['WAKE_MANNER']>;
  readonly saveLimits: NonNullable<Values['SAVE_LIMITS']>;
  readonly logLevel: LogLevel;
  readonly logFormat: 'pretty' | 'json';
}

/** One secret of a broker; it may have several. */
export interface BrokerSecret {
  /** The CloudEvents `source` of its events. */
  readonly source: string;
  readonly secret: string;
}

export type LogLevel = NonNullable<Values['LOG_LEVEL']>;

/** The configuration of a process that talks to Postgres and Redis and does not start its own. */
export interface ServiceConfig extends DormouseConfig {
  readonly databaseUrl: string;
  readonly redisUrl: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads and validates the environment. A variable set to nothing counts as not set.
 * @throws CONFIG_INVALID naming every variable that is wrong, what it was and what it should be.
 */
export function loadConfig(environment: Environment = process.env): DormouseConfig {
  const values = readValues(environment);
  const dataDir = resolve(values.DATA_DIR ?? '.dormouse');
  return Object.freeze({
    dataDir,
    databaseUrl: values.DATABASE_URL,
    redisUrl: values.REDIS_URL,
    storageUrl: values.STORAGE_URL ?? pathToFileURL(join(dataDir, 'storage')).href,
    disksDir: resolve(values.DISKS_DIR ?? join(dataDir, 'disks')),
    garbageGraceMs: (values.GC_GRACE_S ?? 600) * 1000,
    keyUrl: values.KEY_URL ?? pathToFileURL(dataPaths(dataDir).masterKeyFile).href,
    vaultToken: values.VAULT_TOKEN,
    hostId: values.HOST_ID ?? hostOfDataDirectory(dataDir) ?? hostIdFrom(hostname()),
    hostMemoryMiB: values.HOST_MEMORY_MIB,
    hostSlots: values.HOST_SLOTS ?? { wake: 8, save: 4 },
    storageSlots: values.STORAGE_SLOTS ?? { wake: 64, save: 32 },
    apiHost: values.API_HOST ?? '127.0.0.1',
    apiPort: values.API_PORT,
    metricsHost: values.METRICS_HOST ?? '127.0.0.1',
    metricsPort: values.METRICS_PORT,
    adminKey: values.ADMIN_KEY,
    webhookSecrets: values.WEBHOOK_SECRETS && Object.freeze(values.WEBHOOK_SECRETS),
    brokerSecrets: Object.freeze(values.BROKER_SECRETS ?? []),
    webhookSecretsFile: values.WEBHOOK_SECRETS_FILE === null ? null : resolve(values.WEBHOOK_SECRETS_FILE),
    rateLimits: Object.freeze({
      keys: values.RATE_LIMIT_KEYS ?? { perSecond: 200, burst: 1_000 },
      brokers: values.RATE_LIMIT_BROKERS ?? { perSecond: 5_000, burst: 20_000 },
    }),
    accelerator: values.ACCEL ?? 'auto',
    qemuBinary: values.QEMU_BINARY ?? 'qemu-system-x86_64',
    qemuUser: values.QEMU_USER,
    imageDirs: values.IMAGE_DIRS && Object.freeze(values.IMAGE_DIRS),
    machinesInWaiting: values.MACHINES_IN_WAITING ?? 8,
    wakeManner: values.WAKE_MANNER ?? {},
    saveLimits: values.SAVE_LIMITS ?? {},
    logLevel: values.LOG_LEVEL ?? 'info',
    logFormat: values.LOG_FORMAT ?? (process.stdout.isTTY ? 'pretty' : 'json'),
  });
}

/**
 * For the api and the worker, which do not start services of their own.
 * @throws CONFIG_INVALID when DATABASE_URL or REDIS_URL is missing.
 */
export function requireServices(config: DormouseConfig): ServiceConfig {
  const { databaseUrl, redisUrl } = config;
  if (databaseUrl === null || redisUrl === null) {
    const missing = databaseUrl === null ? 'DATABASE_URL' : 'REDIS_URL';
    throw new DormouseError(
      'CONFIG_INVALID',
      `${missing} is not set. Set it, or use \`npm start\`, which brings its own Postgres and Redis.`,
      { variables: [missing] },
    );
  }
  return Object.freeze({ ...config, databaseUrl, redisUrl });
}

/** Queue names and addresses are made of host ids: what a host name may hold besides is replaced by hyphens. */
export function hostIdFrom(name: string): string {
  const safe = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  return safe === '' ? 'localhost' : safe;
}

function readValues(environment: Environment): Values {
  const values: Partial<Record<Variable, unknown>> = {};
  const problems: { variable: Variable; sentence: string }[] = [];
  for (const { variable, shape, secret } of settingRows) {
    const text = environment[variable];
    if (text === undefined || text.trim() === '') {
      values[variable] = null;
      continue;
    }
    const parsed = settings[variable].schema.safeParse(text);
    if (parsed.success) {
      values[variable] = parsed.data;
      continue;
    }
    const was = secret ? 'has a value that cannot be used' : `is ${JSON.stringify(text)}`;
    problems.push({ variable, sentence: `${variable} ${was}; it should be ${shape}` });
  }
  if (problems.length > 0) {
    throw new DormouseError('CONFIG_INVALID', problems.map(({ sentence }) => sentence).join('\n'), {
      variables: problems.map(({ variable }) => variable),
    });
  }
  return values as Values;
}
