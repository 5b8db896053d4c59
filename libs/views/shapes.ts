import { errorCodes, type ErrorCode, type ErrorDetails } from '@dormouse/errors';
import type { JsonObject } from '@dormouse/session';
import { z } from 'zod';

/** Answers that have a name of their own in the api's description. */
export const answers = z.registry<{ readonly id: string }>();

/** An object with exactly these fields. */
export function fields<const Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.object(shape).readonly();
}

export function list<Item extends z.ZodType>(item: Item) {
  return z.array(item).readonly();
}

export function page<Item extends z.ZodType>(item: Item) {
  return fields({
    items: list(item),
    nextCursor: z.string().nullable().describe('Pass it as `cursor` to get the next page; null on the last page'),
  });
}

/** A page of a list; `nextCursor` is null on the last one. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
}

/** ISO 8601 in UTC. */
export const instant = z.string().meta({ format: 'date-time' });

export const uuid = z.string().meta({ format: 'uuid' });

/** An object whose fields belong to somebody else: a launch spec, what a worker measured. */
export const anyObject = z
  .custom<JsonObject>((value) => typeof value === 'object' && value !== null && !Array.isArray(value))
  .meta({ type: 'object', additionalProperties: true });

export const errorCode = z
  .custom<ErrorCode>((value) => typeof value === 'string' && value in errorCodes)
  .meta({ type: 'string', enum: Object.keys(errorCodes), description: 'Stable: match on it' });

export const recordedError = fields({
  code: errorCode,
  message: z.string(),
  details: z.custom<ErrorDetails>().meta({ type: 'object', additionalProperties: true }),
}).register(answers, { id: 'RecordedError' });

/** Who decided something, when, and why. */
export const decision = { by: z.string(), reason: z.string() } as const;
