import { DormouseError } from '@dormouse/errors';
import type { PagerAssignment, PagerSetUp } from './protocol';

/** The list of kept generations is the only part that grows. */
export const longestAssignment = 4 * 1024 * 1024;

type Shape = (value: unknown) => boolean;

const text: Shape = (value) => typeof value === 'string' && value !== '';
const path: Shape = (value) => text(value) && !(value as string).includes('\0');
const flag: Shape = (value) => typeof value === 'boolean';
const count: Shape = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
/** Base64 of 32 bytes. */
const key: Shape = (value) => typeof value === 'string' && /^[A-Za-z0-9+/]{43}=$/.test(value);
const orNull =
  (shape: Shape): Shape =>
  (value) =>
    value === null || shape(value);
const list =
  (shape: Shape): Shape =>
  (value) =>
    Array.isArray(value) && value.every(shape);
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const object =
  (members: Readonly<Record<string, Shape>>): Shape =>
  (value) =>
    isObject(value) && Object.entries(members).every(([name, shape]) => shape(value[name]));

const everyJob = {
  operationId: text,
  desktopId: text,
  checkpointId: text,
  keys: object({ keyId: text, dataKey: key, contentKey: key }),
  disks: object({ images: list(path), layers: path }),
};
const optional =
  (shape: Shape): Shape =>
  (value) =>
    value === undefined || shape(value);
const manner = object({
  wakeSet: optional(flag),
  restMs: optional(count),
  longestMs: optional(count),
  fill: optional(object({ least: count, most: count })),
});
const how: Shape = (value) => value === 'lazy' || value === 'eager' || value === 'resume';
const serve = object({ ...everyJob, mode: (value) => value === 'serve', how, manner });
const capture = object({
  ...everyJob,
  mode: (value) => value === 'capture',
  fingerprint: isObject,
  diskGeneration: orNull(text),
  imageIndexes: list(path),
  previousCheckpointId: orNull(text),
  keptGenerations: list(text),
  wakeSetPages: count,
});
const setUp = object({ storageUrl: text });
const assignment = object({ directory: path, job: (value) => capture(value) || serve(value) });

/** @throws PAGER_FAILED when it is none: the pager and its worker are not of one version, or it is no worker */
export function parseAssignment(json: string): PagerAssignment {
  return parse(json, assignment) as PagerAssignment;
}

/** @throws PAGER_FAILED as `parseAssignment` */
export function parseSetUp(json: string): PagerSetUp {
  return parse(json, setUp) as PagerSetUp;
}

function parse(json: string, shape: Shape): unknown {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw noAssignment(cause);
  }
  if (!shape(value)) throw noAssignment();
  return value;
}

/** Says nothing of what it read: keys are in it. */
function noAssignment(cause?: unknown): DormouseError {
  const message = 'the pager was given no assignment that it understands; worker and pager must be of the same version';
  return new DormouseError('PAGER_FAILED', message, {}, { cause: cause instanceof Error ? cause.name : undefined });
}
