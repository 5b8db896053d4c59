import { DormouseError } from '@dormouse/errors';
import { brokerName, issuesInWords } from '@dormouse/text';
import { z } from 'zod';
import { absenceCauses } from './session';
import { isTimeZone } from './time-zone';

/** What a pool may limit: desktops that have a machine, that are being woken (or booted, or examined), that are being saved. */
export const capNames = ['running', 'waking', 'saving'] as const;
export type CapName = (typeof capNames)[number];

/** What is left to try with a desktop that cannot be woken, from the step that loses least. Each loses something: each needs consent. */
export const consents = ['own-checkpoint', 'older-checkpoint', 'cold-boot'] as const;
export type Consent = (typeof consents)[number];

/** `holiday` stands for every date of the list of holidays, whatever weekday it is; such a date is no weekday then. */
export const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'holiday'] as const;
export type DayName = (typeof dayNames)[number];

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

const whole = (least: number, most: number) => {
  const message = `must be a whole number from ${least} to ${most}`;
  return z
    .number(message)
    .refine((value) => Number.isSafeInteger(value) && value >= least && value <= most, message)
    .meta({ type: 'integer', minimum: least, maximum: most });
};

const grace = whole(0, 30 * dayMs);
const graceMs = grace.describe('How long a desktop waits for its user before it is put to sleep');
const graceTerms = {
  graceMsByReason: z
    .partialRecord(z.enum(absenceCauses).exclude(['logoff']), grace)
    .readonly()
    .exactOptional()
    .meta({
      description: 'By why nobody is connected; a reason that is left out has `graceMs`',
      example: { idle: 60_000, network: 1_800_000 },
    }),
};

/** How long a desktop waits for its user before it is put to sleep. */
export type GraceTerms = z.output<z.ZodObject<typeof graceTerms>> & { readonly graceMs?: number };

const timeOfDay = (pattern: RegExp, shape: string) => z.string().regex(pattern, `must be a time like ${shape}`);
const hourAndMinute = '([01]\\d|2[0-3]):[0-5]\\d';

const phase = z
  .strictObject({
    name: z.string().min(1).max(64).meta({ example: 'night' }),
    days: z.array(z.enum(dayNames)).min(1).readonly().describe('A `holiday` is no weekday'),
    from: timeOfDay(new RegExp(`^${hourAndMinute}$`), '08:00').meta({ example: '18:00' }),
    to: timeOfDay(new RegExp(`^(${hourAndMinute}|24:00)$`), '18:00 or 24:00').meta({
      example: '08:00',
      description:
        'Not part of the phase any more. A phase that ends before it begins goes on past midnight and belongs to the day it began on',
    }),
    graceMs: grace.exactOptional(),
    ...graceTerms,
  })
  .refine(({ from, to }) => from !== to, { path: ['to'], message: 'must differ from `from`' })
  .readonly();

/** A part of the week with a grace of its own, by the clock on the wall. */
export type Phase = z.output<typeof phase>;

const schedule = z
  .strictObject({
    timeZone: z
      .string()
      .refine(isTimeZone, 'must be the IANA name of a time zone, like Europe/Berlin')
      .meta({ example: 'Europe/Berlin' }),
    holidays: z
      .array(z.string().refine(isDate, 'must be a date like 2030-12-25'))
      .max(1_000)
      .readonly()
      .exactOptional()
      .meta({ description: 'Dates in that time zone', example: ['2030-12-25'] }),
    phases: z.array(phase).min(1).max(64).readonly().describe('The first that holds counts'),
  })
  .readonly();

export type Schedule = z.output<typeof schedule>;

const logoff = z
  .strictObject({
    action: z
      .enum(['power-off', 'save'])
      .describe('`power-off`: memory is given up, the disk stays. `save`: asleep without a grace'),
    settleMs: whole(2_000, 5_000)
      .default(3_000)
      .describe(
        'A disconnect and the logoff it belongs to come in any order: nothing is done before both can have come',
      ),
  })
  .readonly();

export type LogoffPolicy = z.output<typeof logoff>;

const storm = z
  .strictObject({
    percent: whole(1, 100).default(30).describe('A storm begins when more than this share of the desktops in use …'),
    withinMs: whole(1_000, 10 * minuteMs)
      .default(minuteMs)
      .describe('… have lost their users within this time, …'),
    atLeast: whole(1, 1_000_000).default(20).describe('… and they are at least this many'),
    graceMs: whole(0, dayMs)
      .default(10 * minuteMs)
      .describe('None of them is put to sleep for this long …'),
    perMinute: whole(1, 1_000_000).default(60).describe('… and after that no more than about this many a minute'),
  })
  .readonly();

/** When it is more likely that something broke than that so many went home at once. */
export type StormPolicy = z.output<typeof storm>;

const caps = z.partialRecord(z.enum(capNames), whole(1, 1_000_000)).readonly();

/** How many desktops of a pool at most at once; what is left out is not limited. */
export type Caps = z.output<typeof caps>;

const brokers = z.union(
  [
    z.enum(['assigned', 'first', 'any']),
    z
      .array(z.string().transform(brokerName).pipe(z.string().min(1).max(256)))
      .min(1)
      .max(64)
      .readonly(),
  ],
  'must be `assigned`, `first`, `any`, or a list of 1 to 64 names of brokers',
);

export type BrokersPolicy = z.output<typeof brokers>;

/** What holds when a policy says nothing of brokers. */
export const usualBrokers: BrokersPolicy = 'assigned';

const policyFields = z.strictObject({
  graceMs,
  ...graceTerms,
  schedule: schedule
    .exactOptional()
    .describe('Times of the week with another grace: the phase says first, the pool what it leaves open'),
  keepCheckpoints: whole(1, 100).describe(
    'How many durable checkpoints of a desktop are kept, the current one among them',
  ),
  keepCheckpointsForMs: whole(0, 3_650 * dayMs)
    .exactOptional()
    .describe('Durable checkpoints younger than this are kept as well'),
  minResidencyMs: grace.exactOptional().describe('A desktop stays up at least this long after a wake'),
  lingerMs: whole(0, dayMs)
    .exactOptional()
    .describe(
      'A desktop that was saved by itself stays in memory for this long, standing still: a user who returns meanwhile has it at once',
    ),
  logoff: logoff.exactOptional().describe('What a logoff leads to. Without it a logoff is a disconnect like any other'),
  consents: z
    .array(z.enum(consents))
    .max(consents.length)
    .readonly()
    .exactOptional()
    .describe(
      'What is done by itself, though it loses work, with a desktop that cannot be woken. A step that is not named waits for an admin, and so does what loses more',
    ),
  neverSave: z.boolean().exactOptional().describe('A desktop is put to sleep only when somebody forces it'),
  forgetUnused: z
    .boolean()
    .exactOptional()
    .describe(
      'A desktop that was woken, that nobody has used since, and that has written nothing to its disks goes back to its checkpoint unsaved',
    ),
  storm: storm
    .exactOptional()
    .describe('When many leave at once; `{}` takes what is usual. Without it they all count as having left'),
  caps: caps.exactOptional().meta({
    description:
      'How many of its desktops have a machine, wake, or are saved at once at most; the others wait their turn',
    example: { running: 500, waking: 20, saving: 10 },
  }),
  brokers: brokers.exactOptional().meta({
    description:
      'Which brokers may speak of its desktops. `assigned`, which holds when it is left out: of a desktop that was assigned, only the broker that ' +
      'assigned it first; of others, all. `first`: of each desktop only the broker that was the first to say that it is in use. `any`: ' +
      'all brokers, of all desktops. A list: these brokers, of all desktops',
    example: ['/broker/eu'],
  }),
});

/** What a pool wants for its desktops. */
export const poolPolicy = policyFields.readonly();
export type PoolPolicy = z.output<typeof poolPolicy>;

export const defaultPoolPolicy: PoolPolicy = { graceMs: 60_000, keepCheckpoints: 2 };

/** Fills in what the policy leaves to us. @throws REQUEST_INVALID with `details.problems`, a sentence for each field that is wrong */
export function parsePoolPolicy(value: unknown): PoolPolicy {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const fields = Object.keys(policyFields.shape).join(', ');
    throw new DormouseError(
      'REQUEST_INVALID',
      `a pool policy is an object: graceMs and keepCheckpoints are required, and it may have any of ${fields}`,
    );
  }
  const parsed = poolPolicy.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = issuesInWords(parsed.error.issues, value);
  throw new DormouseError('REQUEST_INVALID', `pool policy: ${problems.join('; ')}`, { problems });
}

function isDate(text: string): boolean {
  const day = new Date(`${text}T00:00:00Z`);
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}
