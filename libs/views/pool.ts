import { poolPolicy, stormCauses } from '@dormouse/session';
import { z } from 'zod';
import { answers, fields, instant, list } from './shapes';

const stormView = fields({
  broker: z.string().nullable().describe('Null: the whole pool'),
  cause: z.enum(stormCauses),
  left: z.int().describe('How many users had left when the storm was noticed'),
  inUse: z.int().describe('Of how many desktops that were in use'),
  from: instant.describe('The storm concerns who left between this …'),
  until: instant.describe('… and this; none of them is put to sleep before'),
  releasedUntil: instant.describe('By then they have been released, one after the other'),
}).register(answers, { id: 'Storm' });
export type StormView = z.infer<typeof stormView>;

export const poolView = fields({
  id: z.string(),
  policy: poolPolicy,
  storms: list(stormView).describe('Storms that still keep desktops up'),
  createdAt: instant,
  updatedAt: instant,
}).register(answers, { id: 'Pool' });
export type PoolView = z.infer<typeof poolView>;
