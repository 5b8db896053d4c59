import { absenceCauses, consents, machineStateNames, occupancies, operationKindNames } from '@dormouse/session';
import type { Hindrance } from '@dormouse/session';
import { z } from 'zod';
import { answers, fields, instant, list, uuid } from './shapes';

const doubt = { source: z.string().describe('The broker'), brokerEpoch: z.string().nullable() };

const doubtView = z
  .discriminatedUnion('kind', [
    fields({ ...doubt, kind: z.literal('silent').describe('The broker is not heard; ends when it is heard again') }),
    fields({
      ...doubt,
      kind: z.literal('missing').describe('Events are missing and may still come'),
      gaps: list(z.tuple([z.number(), z.number()]).readonly()).meta({
        description: 'Ranges of sequence numbers, both ends included',
        example: [[17, 18]],
      }),
    }),
    fields({
      ...doubt,
      kind: z.literal('lost').describe('Only a snapshot of the broker can tell'),
      afterEpoch: z.string().nullable(),
    }),
  ])
  .register(answers, { id: 'Doubt' });

const consentView = fields({
  to: z.enum(consents).describe('The first loses least'),
  checkpointId: uuid.nullable().describe('The checkpoint that is woken; null: none is'),
  asOf: instant.nullable().describe('What is kept is as it was then'),
  sentence: z.string().describe('What is done, and what is lost'),
}).register(answers, { id: 'Consent' });

const hindranceView = fields({
  code: z
    .custom<Hindrance['code']>((value) => typeof value === 'string')
    .meta({ type: 'string', example: 'DESKTOP_HELD', description: 'Stable: match on it' }),
  sentence: z.string(),
}).register(answers, { id: 'Hindrance' });

/** Why a desktop is as it is, what comes next, and what did not happen. */
export const explanationView = fields({
  desktopId: z.string(),
  sentence: z.string().describe('For people'),
  state: z.enum(machineStateNames),
  stateSince: instant,
  presence: fields({
    occupancy: z.enum(occupancies),
    connections: list(z.string()),
    since: instant.nullable().describe('Since when nobody is connected, or since when that is not certain'),
    cause: z.enum(absenceCauses).nullable().describe('Why nobody is connected'),
    doubt: doubtView.nullable().describe('The first of `doubts`'),
    doubts: list(doubtView).describe('One for each broker that is in doubt'),
  }),
  next: fields({
    what: z.enum([...operationKindNames, 'thaw', 'nothing']),
    when: z.enum(['time', 'user', 'worker', 'operator']),
    at: instant.nullable(),
  }),
  hindrances: list(hindranceView).describe('Why it was not put to sleep, or not woken'),
  consents: list(consentView).describe('What an admin can do with a desktop that cannot be woken'),
}).register(answers, { id: 'Explanation' });
export type ExplanationView = z.infer<typeof explanationView>;
