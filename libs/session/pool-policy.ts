import { DormouseError } from '@dormouse/errors';

/** What a pool wants for its desktops. */
export interface PoolPolicy {
  /** How long a desktop waits for its user before it is saved. */
  readonly graceMs: number;
  /** How many durable checkpoints of a desktop are kept, the current one among them. */
  readonly keepCheckpoints: number;
  /** Besides those, durable checkpoints that are younger than this are kept. */
  readonly keepCheckpointsForMs?: number;
  /** After a wake that nobody used, the desktop stays up at least this long. */
  readonly minResidencyMs?: number;
}

export const defaultPoolPolicy: PoolPolicy = { graceMs: 60_000, keepCheckpoints: 2 };

const dayMs = 24 * 60 * 60 * 1_000;

const limits = {
  graceMs: { min: 0, max: 30 * dayMs, required: true },
  keepCheckpoints: { min: 1, max: 100, required: true },
  keepCheckpointsForMs: { min: 0, max: 3_650 * dayMs, required: false },
  minResidencyMs: { min: 0, max: 30 * dayMs, required: false },
} as const satisfies Record<keyof PoolPolicy, { min: number; max: number; required: boolean }>;

/** @throws REQUEST_INVALID naming the field. */
export function parsePoolPolicy(value: unknown): PoolPolicy {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DormouseError(
      'REQUEST_INVALID',
      'a pool policy is an object: {graceMs, keepCheckpoints, keepCheckpointsForMs?, minResidencyMs?}',
    );
  }
  const given = value as Readonly<Record<string, unknown>>;
  const unknownField = Object.keys(given).find((name) => !(name in limits));
  if (unknownField !== undefined) {
    throw invalid(unknownField, `is not a field of a pool policy (${Object.keys(limits).join(', ')})`);
  }
  for (const [name, { min, max, required }] of Object.entries(limits)) {
    const number = given[name];
    if (number === undefined && !required) continue;
    if (!Number.isSafeInteger(number) || (number as number) < min || (number as number) > max) {
      throw invalid(name, `must be a whole number from ${min} to ${max}`);
    }
  }
  return given as unknown as PoolPolicy;
}

function invalid(field: string, what: string): DormouseError {
  return new DormouseError('REQUEST_INVALID', `pool policy: ${field} ${what}`, { field });
}
