import { machineStateNames } from '@dormouse/session';
import { z } from 'zod';
import { answers, fields, list, recordedError } from './shapes';

const acknowledged = {
  accepted: z.literal(true),
  duplicate: z.boolean().describe('It was seen before, as this webhook or as this event: nothing was done'),
  outcome: z.enum(['applied', 'ignored', 'stale', 'duplicate']),
  desktop: fields({
    id: z.string(),
    machineState: z.enum(machineStateNames),
    etaMs: z.number().nullable().describe('Until it answers, in ms: 0 when it does, null when that is not known'),
  })
    .nullable()
    .describe('Null for events about the broker itself'),
  notes: list(z.string())
    .exactOptional()
    .describe('What was wrong with side fields, which count as missing; left out when nothing was'),
};

/** What a broker is told about its event. */
const acknowledgement = fields(acknowledged).register(answers, { id: 'Acknowledgement' });
export type Acknowledgement = z.infer<typeof acknowledgement>;

const event = { id: z.string(), source: z.string() };

/** One event of a batch: accepted, or refused without any effect on the others. */
const batchItem = z
  .discriminatedUnion('accepted', [
    fields({ ...event, ...acknowledged }),
    fields({ ...event, accepted: z.literal(false), error: recordedError }),
  ])
  .register(answers, { id: 'BatchItem' });
export type BatchItem = z.infer<typeof batchItem>;

const batchAcknowledgement = fields({
  accepted: z.boolean().describe('Whether each event was accepted'),
  items: list(batchItem).describe('In the order of the batch'),
}).register(answers, { id: 'BatchAcknowledgement' });
export type BatchAcknowledgement = z.infer<typeof batchAcknowledgement>;

/** Of a webhook, which holds one event or a batch of them. */
export const webhookAnswer = z
  .union([acknowledgement, batchAcknowledgement])
  .register(answers, { id: 'WebhookAnswer' });
