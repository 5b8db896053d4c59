import type { OpenStatus, EndedStatus, OperationKind, OperationPhase, SlotKind } from '@dormouse/session';
import { z } from 'zod';
import { answers, anyObject, errorCode, fields, instant, list } from './shapes';

/** What operators want of a host: only an open one is given machines. */
const hostIntents = ['open', 'cordoned', 'draining', 'fenced'] as const;
export type HostIntent = (typeof hostIntents)[number];

const troubleView = fields({
  part: z.enum(['storage', 'disks', 'run directory', 'keys']),
  code: errorCode,
  message: z.string().describe('What happens, and what to do'),
  since: instant,
}).register(answers, { id: 'HostTrouble' });
/** What keeps a host from its work, as its worker has found out. */
export type HostTrouble = z.infer<typeof troubleView>;

export const hostView = fields({
  id: z.string(),
  capabilities: anyObject,
  troubles: list(troubleView).describe(
    'What it needs and cannot use, as its worker has found; empty: it can do its work',
  ),
  startedAt: instant,
  seenAt: instant,
  alive: z.boolean().describe('It was heard recently enough to be given work'),
  intent: z.enum(hostIntents).describe('Only an open host is given machines'),
  intentReason: z.string().nullable(),
  machines: z.int().describe('How many desktops have a machine there, or may have'),
  usedMiB: z.number().describe('How much of its memory these may use'),
}).register(answers, { id: 'Host' });
export type HostView = z.infer<typeof hostView>;

export const hostList = fields({ items: list(hostView) }).register(answers, { id: 'HostList' });

/** What is open on a host, and how many of its slots that takes. */
export interface HostLoad {
  readonly operations: readonly {
    readonly kind: OperationKind;
    readonly phase: OperationPhase;
    readonly status: OpenStatus | EndedStatus;
    readonly count: number;
  }[];
  /** `most`: null when the host has not said. */
  readonly slots: readonly { readonly slot: SlotKind; readonly used: number; readonly most: number | null }[];
}
