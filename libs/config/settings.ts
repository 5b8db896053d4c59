import { isAbsolute } from 'node:path';
import { brokerName } from '@dormouse/text';
import { z } from 'zod';

/** One environment variable: how it is read and how it is described to people. */
interface Setting {
  /** What the value must be; the end of the sentence "it should be …". */
  readonly shape: string;
  /** What is used when it is not set, in words; null when there is nothing to use. */
  readonly fallback: string | null;
  readonly meaning: string;
  /** The value is never shown, in errors neither. */
  readonly secret?: true;
  readonly schema: z.ZodType<unknown, string>;
}

const hasScheme = (...schemes: readonly string[]) =>
  z.string().refine((text) => URL.canParse(text) && schemes.includes(new URL(text).protocol));

const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/)
    .transform(Number)
    .refine((value) => value >= least && value <= most);

/** So many a second, and so many at once. */
export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/** So many at once. */
export interface Slots {
  readonly wake: number;
  readonly save: number;
}

const twoNumbers = z
  .string()
  .regex(/^[1-9]\d{0,5}\/[1-9]\d{0,5}$/)
  .transform((text) => text.split('/').map(Number) as [number, number]);
const rateLimit = twoNumbers.transform(([perSecond, burst]): RateLimit => ({ perSecond, burst }));
const slots = twoNumbers.transform(([wake, save]): Slots => ({ wake, save }));

const list = <T>(item: z.ZodType<T, string>) =>
  z
    .string()
    .transform((text) => text.split(',').map((entry) => entry.trim()))
    .pipe(z.array(item));

const json = <T>(shape: z.ZodType<T>) =>
  z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue('no JSON');
        return z.NEVER;
      }
    })
    .pipe(shape);

/** What callers show as a bearer key when the configuration names it, or the file that it was made in. */
export const adminKey = z.string().regex(/^\S{16,}$/);

/** Standard Webhooks: `whsec_` and the base64 of 24 to 64 random bytes. */
export const webhookSecret = z
  .string()
  .regex(/^whsec_[A-Za-z0-9+/]+={0,2}$/)
  .refine((text) => {
    const bytes = Buffer.from(text.slice('whsec_'.length), 'base64').length;
    return bytes >= 24 && bytes <= 64;
  });

/** The CloudEvents `source` of a broker, and a secret of its own. */
export const brokerSecret = z
  .string()
  .regex(/^[^\p{Cc}\p{Cs}]+=whsec_[A-Za-z0-9+/]+={0,2}$/u)
  .transform((text) => {
    const at = text.lastIndexOf('=whsec_');
    return { source: brokerName(text.slice(0, at)), secret: text.slice(at + 1) };
  })
  .refine(({ source, secret }) => source !== '' && webhookSecret.safeParse(secret).success);

/** The environment, as far as it is ours; the AWS SDK reads its own. The README's configuration table says the same. */
export const settings = {
  DATA_DIR: {
    shape: 'a directory',
    fallback: '`.dormouse` in the working directory',
    meaning: 'Where everything that Dormouse keeps on this machine lives: keys, embedded services, storage, sockets',
    schema: z.string(),
  },
  DATABASE_URL: {
    shape: 'a URL such as postgres://user:password@host:5432/dormouse',
    fallback: 'a private Postgres in the data directory',
    meaning: 'The Postgres that holds the truth',
    secret: true,
    schema: hasScheme('postgres:', 'postgresql:'),
  },
  REDIS_URL: {
    shape: 'a URL such as redis://host:6379, or the absolute path of a unix socket',
    fallback: 'a private redis-server in the data directory',
    meaning: 'The Redis or Valkey that carries the work; its `maxmemory-policy` must be `noeviction`',
    secret: true,
    schema: z.union([hasScheme('redis:', 'rediss:'), z.string().refine((text) => isAbsolute(text))]),
  },
  STORAGE_URL: {
    shape: 'a URL such as file:///srv/dormouse or s3://bucket/prefix',
    fallback: '`storage` in the data directory',
    meaning: 'Where checkpoints are stored',
    secret: true,
    schema: hasScheme('file:', 's3:'),
  },
  DISKS_DIR: {
    shape: 'a directory',
    fallback: '`disks` in the data directory',
    meaning: 'Where the layers of the desktops’ disks live; hosts may share it',
    schema: z.string(),
  },
  GC_GRACE_S: {
    shape: 'a whole number of seconds',
    fallback: '`600`',
    meaning: 'How long what nobody needs any more stays, in the storage and on the disks, before it is removed',
    schema: wholeNumber(0, 365 * 86_400),
  },
  KEY_URL: {
    shape: 'a URL such as file:///srv/dormouse/master.json or vault+https://vault:8200/transit/dormouse',
    fallback: '`keys/master.json` in the data directory, made on the first start',
    meaning: 'What wraps the keys of checkpoints; the same for the api and every worker',
    secret: true,
    schema: hasScheme('file:', 'vault+https:', 'vault+http:'),
  },
  VAULT_TOKEN: {
    shape: 'a token without spaces',
    fallback: 'needed when `KEY_URL` names a Vault',
    meaning: 'The token for the Vault of `KEY_URL`; it may `update` the `encrypt` and `decrypt` paths of the key',
    secret: true,
    schema: z.string().regex(/^[!-~]+$/),
  },
  HOST_ID: {
    shape: 'lower-case letters, digits and hyphens, at most 63, a letter or digit first',
    fallback: "the host that `DATA_DIR` belongs to; of a new one, the machine's host name",
    meaning: 'The name of this host: its worker serves the queue of that name',
    schema: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  },
  HOST_MEMORY_MIB: {
    shape: 'a whole number of MiB, at least 64',
    fallback: 'all memory of the machine',
    meaning: 'How much memory the desktops of this host may use together',
    schema: wholeNumber(64, 2 ** 40),
  },
  HOST_SLOTS: {
    shape: 'wakes, a slash, and saves that this host works on at once, such as 8/4',
    fallback: '`8/4`',
    meaning:
      'How many desktops of this host may be waking, and how many being saved, at once; the others wait their turn',
    schema: slots,
  },
  STORAGE_SLOTS: {
    shape: 'wakes, a slash, and saves that the storage bears at once, such as 64/32',
    fallback: '`64/32`',
    meaning: 'The same for all hosts that use this storage; the same on each of them',
    schema: slots,
  },
  API_HOST: {
    shape: 'an address or host name to listen on',
    fallback: '`127.0.0.1`',
    meaning: 'Where the api listens',
    schema: z.string(),
  },
  API_PORT: {
    shape: 'a port number, 0 to 65535 (0: any free one)',
    fallback: '`7077` when it is free, else any free one',
    meaning: 'The port of the api; the address in use is in `api.json` of the data directory',
    schema: wholeNumber(0, 65_535),
  },
  METRICS_HOST: {
    shape: 'an address or host name to listen on',
    fallback: '`127.0.0.1`',
    meaning: 'Where a worker serves its `/metrics`; they name no desktop',
    schema: z.string(),
  },
  METRICS_PORT: {
    shape: 'a port number, 0 to 65535 (0: any free one)',
    fallback: '`7078` when it is free, else any free one, which the log tells',
    meaning: 'The port of that; each worker of a machine needs its own',
    schema: wholeNumber(0, 65_535),
  },
  ADMIN_KEY: {
    shape: 'at least 16 characters without spaces',
    fallback: 'made on the first start, in `keys/admin.key` of the data directory',
    meaning: 'The bearer key of admin calls',
    secret: true,
    schema: adminKey,
  },
  WEBHOOK_SECRETS: {
    shape: 'a comma-separated list of Standard Webhooks secrets (whsec_ and 24 to 64 bytes in base64)',
    fallback: 'made on the first start, in `keys/webhook.secret` of the data directory',
    meaning: 'What brokers sign their webhooks with; several while one is being replaced, the first signs',
    secret: true,
    schema: list(webhookSecret),
  },
  BROKER_SECRETS: {
    shape: 'a comma-separated list of source=whsec_…, the source as it stands in the events',
    fallback: 'every broker signs with one of `WEBHOOK_SECRETS`',
    meaning: 'Brokers with secrets of their own: only these are believed of them, several while one is being replaced',
    secret: true,
    schema: list(brokerSecret),
  },
  WEBHOOK_SECRETS_FILE: {
    shape: 'a file with a secret a line: whsec_… of all brokers, source=whsec_… of one',
    fallback: 'the two above; to replace one of them, the api has to be started again',
    meaning: 'The same in a file, instead of both; the api reads it again when it changes',
    schema: z.string(),
  },
  RATE_LIMIT_KEYS: {
    shape: 'requests per second, a slash, and how many may come at once, such as 200/1000',
    fallback: '`200/1000`',
    meaning: 'How often one key may ask: a second, and at once; the rest is answered 429',
    schema: rateLimit,
  },
  RATE_LIMIT_BROKERS: {
    shape: 'webhooks per second, a slash, and how many may come at once, such as 5000/20000',
    fallback: '`5000/20000`',
    meaning: 'How many webhooks one broker may send: a second, and at once; the rest is answered 429',
    schema: rateLimit,
  },
  ACCEL: {
    shape: 'auto, kvm or tcg',
    fallback: '`auto`: KVM when a probe shows that it works, else TCG',
    meaning: 'The accelerator of the desktops',
    schema: z.enum(['auto', 'kvm', 'tcg']),
  },
  QEMU_BINARY: {
    shape: 'a program name or path',
    fallback: '`qemu-system-x86_64`',
    meaning: 'The QEMU that runs the desktops',
    schema: z.string(),
  },
  QEMU_USER: {
    shape: 'the name of a user, or uid:gid',
    fallback: 'QEMU runs as the user of the worker',
    meaning: 'The user that QEMU runs as, who is neither root nor the worker: `docs/operating.md`',
    schema: z.string().regex(/^(\d{1,9}:\d{1,9}|[a-z_][a-z0-9_.-]{0,31})$/i),
  },
  IMAGE_DIRS: {
    shape: 'a comma-separated list of absolute paths of directories',
    fallback: 'unlimited admin keys may name any file of the host, keys that are limited to pools none',
    meaning:
      'Where disk images, kernels and initrds of launch specs may come from; the same for the api and every worker',
    schema: list(z.string().refine((text) => isAbsolute(text))),
  },
  MACHINES_IN_WAITING: {
    shape: 'a whole number from 0 to 1000',
    fallback: '`8`',
    meaning: 'How many sleeping desktops, those left last, each worker keeps a QEMU started for, without their memory',
    schema: wholeNumber(0, 1_000),
  },
  WAKE_MANNER: {
    shape: 'JSON with some of `wakeSet`, `restMs`, `longestMs` and `fill`, such as {"wakeSet":false}',
    fallback: '`{}`: what `docs/benchmarks.md` has found to be best',
    meaning: 'How guests are woken; for measurements',
    schema: json(
      z.strictObject({
        wakeSet: z.boolean().exactOptional(),
        restMs: z.int().min(0).max(60_000).exactOptional(),
        longestMs: z.int().min(0).max(3_600_000).exactOptional(),
        fill: z.strictObject({ least: z.int().min(1).max(1024), most: z.int().min(1).max(1024) }).exactOptional(),
      }),
    ),
  },
  SAVE_LIMITS: {
    shape: 'JSON with some of `squeezeAfter`, `giveUpAfter` and `longestMs`, such as {"giveUpAfter":1}',
    fallback: '`{"squeezeAfter":0.25,"giveUpAfter":2,"longestMs":300000}`',
    meaning:
      'When the guest of a save is slowed down, and the save given up, since it writes faster than that is stored: `docs/retention.md`',
    schema: json(
      z.strictObject({
        squeezeAfter: z.number().min(0).max(100).exactOptional(),
        giveUpAfter: z.number().min(0).max(100).exactOptional(),
        longestMs: z.int().min(1_000).max(86_400_000).exactOptional(),
      }),
    ),
  },
  LOG_LEVEL: {
    shape: 'fatal, error, warn, info, debug, trace or silent',
    fallback: '`info`',
    meaning: 'The least severe log lines that are written',
    schema: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  },
  LOG_FORMAT: {
    shape: 'pretty or json',
    fallback: '`pretty` on a terminal, else `json`',
    meaning: 'How log lines are written',
    schema: z.enum(['pretty', 'json']),
  },
} as const satisfies Record<string, Setting>;

export type Variable = keyof typeof settings;

/** What each variable holds once it is read; null when it is not set. */
export type Values = {
  readonly [Name in Variable]: z.output<(typeof settings)[Name]['schema']> | null;
};

/** The table's rows, for those who describe them. */
export const settingRows: readonly (Omit<Setting, 'schema'> & { readonly variable: Variable })[] = Object.entries(
  settings as Record<Variable, Setting>,
).map(([variable, { schema: _schema, ...row }]) => ({ variable: variable as Variable, ...row }));
