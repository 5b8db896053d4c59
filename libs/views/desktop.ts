import { absenceCauses, guestConditions, machineStateNames, occupancies } from '@dormouse/session';
import { z } from 'zod';
import { operationView } from './operation';
import { answers, anyObject, decision, fields, instant, list, page, recordedError, uuid } from './shapes';

const sourceView = fields({
  source: z.string().describe('CloudEvents `source` of the broker'),
  connections: list(z.string()),
  certain: z.boolean().describe('False: there may be more connections than these'),
  brokerEpoch: z.string().nullable(),
  sequence: z.number().nullable(),
}).register(answers, { id: 'PresenceOfSource' });
export type SourceView = z.infer<typeof sourceView>;

const presenceView = fields({
  occupancy: z.enum(occupancies),
  connections: list(z.string()),
  brokerEpoch: z
    .string()
    .nullable()
    .describe('Of the broker that the desktop belongs to, or of the only one that has spoken of it'),
  sequence: z.number().nullable(),
  sources: list(sourceView).describe('What each broker says; the presence is the union'),
  unknownSince: instant.nullable().describe('Since when it is not certain who is connected; null when it is'),
  idleSince: instant.nullable().describe('Since when its user is connected but has not touched it'),
}).register(answers, { id: 'Presence' });

export const desktopView = fields({
  id: z.string(),
  poolId: z.string(),
  hostId: z.string().nullable(),
  launchSpec: anyObject,
  fingerprint: anyObject.nullable().describe('What the examined machine is made of; null until it was examined'),
  state: z.enum(machineStateNames),
  stateSince: instant,
  generation: z.int(),
  presence: presenceView,
  broker: z
    .string()
    .nullable()
    .describe(
      'The broker it belongs to: the first that spoke of it, or the one that was named. Null: the one that speaks of it next',
    ),
  assignment: fields({ kind: z.enum(['assigned', 'unassigned', 'deleted']), userRef: z.string().nullable() })
    .nullable()
    .describe('What its broker said last about whose it is; null when it has said nothing'),
  absence: fields({ since: instant, cause: z.enum(absenceCauses) })
    .nullable()
    .describe('Since when and why nobody is connected; null while somebody may be, and before the first user'),
  hold: fields({ until: instant, ...decision })
    .nullable()
    .describe('Until when it is kept up'),
  graceDeadline: instant
    .nullable()
    .describe('When it is put to sleep if nobody comes, or a failed save is tried again'),
  operation: operationView.nullable().describe('The operation under way, if there is one'),
  checkpointId: uuid.nullable(),
  diskGeneration: uuid.nullable(),
  restoreFailures: z.int(),
  condition: fields({
    kind: z.enum(guestConditions),
    since: instant,
    about: z.string().nullable().describe('What else QEMU says'),
  })
    .nullable()
    .describe('What QEMU says about the guest; null while it simply runs'),
  lastError: recordedError.nullable(),
  createdAt: instant,
  updatedAt: instant,
}).register(answers, { id: 'Desktop' });
export type DesktopView = z.infer<typeof desktopView>;

export const desktopPage = page(desktopView).register(answers, { id: 'DesktopPage' });
