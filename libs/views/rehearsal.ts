import { brokerEventTypes, endedStatuses, machineStateNames, operationKindNames } from '@dormouse/session';
import { z } from 'zod';
import { answers, fields, instant, list } from './shapes';

const rehearsedView = fields({
  webhookId: z.string(),
  type: z.enum(brokerEventTypes),
  desktopId: z.string().nullable().describe('Null: the event is about the broker itself'),
  outcome: z.enum(['applied', 'joined', 'ignored', 'stale', 'refused', 'duplicate']),
  explanation: z.string(),
  state: z.enum(machineStateNames).nullable().describe('The state that the desktop would have afterwards'),
  graceDeadline: instant.nullable(),
  operations: list(fields({ kind: z.enum(operationKindNames), becomes: z.enum(['pending', ...endedStatuses]) })),
}).register(answers, { id: 'RehearsedEvent' });
/** What a webhook would lead to. */
export type RehearsedView = z.infer<typeof rehearsedView>;

export const rehearsal = fields({ items: list(rehearsedView).describe('In the order of the events') }).register(
  answers,
  { id: 'Rehearsal' },
);
