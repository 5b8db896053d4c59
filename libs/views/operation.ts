import { endedStatuses, openStatuses, operationKindNames, operationPhases } from '@dormouse/session';
import { z } from 'zod';
import { answers, anyObject, fields, instant, list, recordedError, uuid } from './shapes';

const operationFields = {
  id: uuid,
  desktopId: z.string(),
  kind: z.enum(operationKindNames),
  phase: z.enum(operationPhases),
  status: z.enum([...openStatuses, ...endedStatuses]),
  generation: z.int().describe('Which generation of the desktop this operation began'),
  reason: z.string(),
  requestedBy: z.string(),
  forced: z.boolean().describe('An admin wants it even if a user may be connected'),
  again: fields({ requestedBy: z.string(), reason: z.string(), forced: z.boolean() })
    .nullable()
    .describe('Who wants another save if this one does not put the desktop to sleep'),
  hostId: z.string().nullable(),
  workerId: z.string().nullable().describe('The worker that has taken it'),
  attempt: z.int().describe('How many times a worker has taken it'),
  validUntil: instant
    .nullable()
    .describe('A forced operation that has not begun by then is cancelled; null: it waits without a limit'),
  cancelRequestedAt: instant.nullable(),
  progress: anyObject.meta({
    description:
      '`doneBytes` of `totalBytes`: how much memory has moved. `waitingFor`: why the operation cannot begin yet',
    example: { doneBytes: 402_653_184, totalBytes: 1_073_741_824 },
  }),
  result: anyObject.nullable(),
  error: recordedError.nullable(),
  createdAt: instant,
  startedAt: instant.nullable(),
  phaseSince: instant,
  endedAt: instant.nullable(),
};

export const operationView = fields(operationFields).register(answers, { id: 'Operation' });
export type OperationView = z.infer<typeof operationView>;

const etaView = fields({
  readyMs: z
    .number()
    .nullable()
    .describe('Until the desktop answers; null when the operation starts no machine, or nothing is known'),
  doneMs: z.number().nullable().describe('Until it is done, counted from when a worker takes it; null when unknown'),
  spread: fields({ leastMs: z.number(), mostMs: z.number() })
    .nullable()
    .describe('How long the fastest and the slowest of those operations took'),
  learnedFrom: z.int().describe('From how many earlier operations of its kind this is known; 0: from its own pace'),
  of: z.enum(['desktop', 'pool']).nullable().describe('Whose operations those were'),
}).register(answers, { id: 'Eta' });
export type EtaView = z.infer<typeof etaView>;

/** An operation and what to expect of it. */
export const expectedOperationView = fields({
  ...operationFields,
  eta: etaView.nullable().describe('What to expect of it; null when it has ended'),
}).register(answers, { id: 'ExpectedOperation' });
export type ExpectedOperationView = z.infer<typeof expectedOperationView>;

export const operationList = fields({ items: list(operationView) }).register(answers, { id: 'OperationList' });
