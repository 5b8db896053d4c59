import type { JobName } from '@dormouse/ledger';
import { desktopIdPattern } from '@dormouse/text';
import { z } from 'zod';

const desktopId = z.string().regex(desktopIdPattern);
const generation = z.int().nonnegative();

/** A job carries ids only: what they mean is read from the database when the job runs. */
const operationPayload = z.strictObject({ desktopId, operationId: z.uuid(), generation });
const desktopPayload = z.strictObject({ desktopId, generation });

export const jobPayloads = {
  register: operationPayload,
  boot: operationPayload,
  save: operationPayload,
  restore: operationPayload,
  stop: operationPayload,
  forget: desktopPayload,
  grace: desktopPayload,
} as const satisfies Record<JobName, z.ZodType>;

export type JobPayload<Name extends JobName> = z.infer<(typeof jobPayloads)[Name]>;
