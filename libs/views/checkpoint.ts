import { keepReasons } from '@dormouse/session';
import { z } from 'zod';
import { answers, anyObject, decision, fields, instant, list, page, uuid } from './shapes';

/** writing → durable → condemned (no longer wanted, its objects may still be there) → deleted. */
const checkpointStates = ['writing', 'durable', 'condemned', 'deleted'] as const;

const checkpointFields = {
  id: uuid,
  desktopId: z.string(),
  state: z.enum(checkpointStates),
  storagePrefix: z.string().describe('Where its own objects are in the storage'),
  diskGeneration: uuid.nullable().describe('The disk layer that was sealed with it'),
  ramBytes: z.number(),
  storedBytes: z.number().describe('How many bytes of the storage are its own'),
  facts: anyObject,
  createdAt: instant,
  durableAt: instant.nullable(),
  parentId: uuid.nullable().describe('The checkpoint of the desktop before it'),
  restoredAt: instant.nullable().describe('When a desktop was last woken from it to the last page'),
  condemnedAt: instant.nullable(),
  pin: fields({ at: instant, ...decision }).nullable(),
};

export type CheckpointView = Readonly<z.infer<z.ZodObject<typeof checkpointFields>>>;

/** A checkpoint as one of a desktop's. */
export const keptCheckpointView = fields({
  ...checkpointFields,
  current: z.boolean().describe('The desktop sleeps in it, or has gone on from it'),
  keptBecause: list(z.enum(keepReasons)).describe('Why it is kept; empty when it is being written or is condemned'),
}).register(answers, { id: 'Checkpoint' });
export type KeptCheckpointView = z.infer<typeof keptCheckpointView>;

export const checkpointPage = page(keptCheckpointView).register(answers, { id: 'CheckpointPage' });
