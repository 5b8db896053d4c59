import { DormouseError } from '@dormouse/errors';
import { brokerName } from '@dormouse/text';
import { z } from 'zod';
import { capNames, type Caps } from './caps';
import { consents, type Consent } from './ladder';
import { dayNames, type Schedule } from './schedule';
import { absenceCauses, type AbsenceCause } from './session';
import type { StormPolicy } from './storm';
import { isTimeZone } from './time-zone';

/** How long a desktop waits for its user before it is put to sleep. */
export interface GraceTerms {
  readonly graceMs?: number;
  /** By why nobody is there; where it says nothing, `graceMs` counts. */
  readonly graceMsByReason?: Partial<Readonly<Record<AbsenceCause, number>>>;
}

/** What a pool wants for its desktops. */
export interface PoolPolicy extends GraceTerms {
  readonly graceMs: number;
  /** Times of the week at which other graces count: the phase says first, the pool what the phase leaves open. */
  readonly schedule?: Schedule;
  /** How many durable checkpoints of a desktop are kept, the current one among them. */
  readonly keepCheckpoints: number;
  /** Besides those, durable checkpoints that are younger than this are kept. */
  readonly keepCheckpointsForMs?: number;
  /** After a wake the desktop stays up at least this long. */
  readonly minResidencyMs?: number;
  /**
   * A desktop that was saved by itself stays in memory for this long, standing still: a user who returns meanwhile has it at
   * once, as it was.
   */
  readonly lingerMs?: number;
  /**
   * A desktop that was woken, that nobody has used since, and that has written nothing to its disks, goes back to its checkpoint
   * without a save. What its programs did meanwhile is as if it had not been.
   */
  readonly forgetUnused?: boolean;
  /** What a logoff leads to. Without it a logoff is a disconnect like any other. */
  readonly logoff?: LogoffPolicy;
  /**
   * What is done by itself with a desktop that cannot be woken, though it loses work. Without it an admin decides each time. A step
   * that is not named is not passed over: what loses more waits for it.
   */
  readonly consents?: readonly Consent[];
  /** Nothing is put to sleep by itself, and by people only when they force it. */
  readonly neverSave?: boolean;
  /** When many leave at once. Without it they all count as having left. */
  readonly storm?: StormPolicy;
  /** How many of its desktops at most at once; the others wait their turn. */
  readonly caps?: Caps;
  /** Who may speak of its desktops. Without it `first`. */
  readonly brokers?: BrokersPolicy;
}

/**
 * `first`: of each desktop the one that was the first to speak of it, until an operator says otherwise. `any`: all brokers, of all
 * desktops. Names: only these, of all desktops.
 */
export type BrokersPolicy = 'first' | 'any' | readonly string[];

export interface LogoffPolicy {
  /** `power-off`: memory is given up, the disk stays. `save`: asleep without a grace. */
  readonly action: 'power-off' | 'save';
  /** A disconnect and the logoff it belongs to come in any order: nothing is done before both can have come. */
  readonly settleMs: number;
}

export const defaultPoolPolicy: PoolPolicy = { graceMs: 60_000, keepCheckpoints: 2 };

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

const whole = (least: number, most: number) =>
  z
    .number(`must be a whole number from ${least} to ${most}`)
    .refine(
      (value) => Number.isSafeInteger(value) && value >= least && value <= most,
      `must be a whole number from ${least} to ${most}`,
    );

const grace = whole(0, 30 * dayMs);
const graceTerms = {
  graceMsByReason: z.partialRecord(z.enum(absenceCauses).exclude(['logoff']), grace).optional(),
};

const timeOfDay = (pattern: RegExp, shape: string) => z.string().regex(pattern, `must be a time like ${shape}`);
const hourAndMinute = '([01]\\d|2[0-3]):[0-5]\\d';

const phase = z
  .strictObject({
    name: z.string().min(1).max(64),
    days: z.array(z.enum(dayNames)).min(1),
    from: timeOfDay(new RegExp(`^${hourAndMinute}$`), '08:00'),
    to: timeOfDay(new RegExp(`^(${hourAndMinute}|24:00)$`), '18:00 or 24:00'),
    graceMs: grace.optional(),
    ...graceTerms,
  })
  .refine(({ from, to }) => from !== to, { path: ['to'], message: 'must differ from `from`' });

const schedule = z.strictObject({
  timeZone: z.string().refine(isTimeZone, 'must be the IANA name of a time zone, like Europe/Berlin'),
  holidays: z.array(z.string().refine(isDate, 'must be a date like 2030-12-25')).max(1_000).optional(),
  phases: z.array(phase).min(1).max(64),
});

const policy = z.strictObject({
  graceMs: grace,
  ...graceTerms,
  schedule: schedule.optional(),
  keepCheckpoints: whole(1, 100),
  keepCheckpointsForMs: whole(0, 3_650 * dayMs).optional(),
  minResidencyMs: grace.optional(),
  lingerMs: whole(0, dayMs).optional(),
  logoff: z
    .strictObject({ action: z.enum(['power-off', 'save']), settleMs: whole(2_000, 5_000).default(3_000) })
    .optional(),
  consents: z.array(z.enum(consents)).max(consents.length).optional(),
  neverSave: z.boolean().optional(),
  forgetUnused: z.boolean().optional(),
  storm: z
    .strictObject({
      percent: whole(1, 100).default(30),
      withinMs: whole(1_000, 10 * minuteMs).default(minuteMs),
      atLeast: whole(1, 1_000_000).default(20),
      graceMs: whole(0, dayMs).default(10 * minuteMs),
      perMinute: whole(1, 1_000_000).default(60),
    })
    .optional(),
  caps: z.partialRecord(z.enum(capNames), whole(1, 1_000_000)).optional(),
  brokers: z
    .union(
      [
        z.enum(['first', 'any']),
        z
          .array(z.string().transform(brokerName).pipe(z.string().min(1).max(256)))
          .min(1)
          .max(64),
      ],
      'must be `first`, `any`, or a list of 1 to 64 names of brokers',
    )
    .optional(),
});

/** Fills in what the policy leaves to us. @throws REQUEST_INVALID naming the field in `details.field`. */
export function parsePoolPolicy(value: unknown): PoolPolicy {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const fields = Object.keys(policy.shape).join(', ');
    throw new DormouseError(
      'REQUEST_INVALID',
      `a pool policy is an object: graceMs and keepCheckpoints, and of ${fields} what is wanted`,
    );
  }
  const parsed = policy.safeParse(value);
  if (parsed.success) return parsed.data as PoolPolicy;
  const issue = parsed.error.issues[0]!;
  const isUnknown = issue.code === 'unrecognized_keys';
  const field = [...issue.path, ...(isUnknown ? [issue.keys[0]!] : [])].join('.');
  const what = isUnknown ? 'is not a field of a pool policy' : issue.message;
  throw new DormouseError('REQUEST_INVALID', `pool policy: ${field} ${what}`, { field });
}

function isDate(text: string): boolean {
  const day = new Date(`${text}T00:00:00Z`);
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}
