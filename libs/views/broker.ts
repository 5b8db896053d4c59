import { z } from 'zod';
import { answers, fields, instant, list } from './shapes';

/** A broker that sends heartbeats. */
const brokerView = fields({
  id: z.string().describe('Its CloudEvents `source`'),
  intervalSeconds: z.number().describe('How often it sends a heartbeat'),
  heardAt: instant.describe('Its last heartbeat'),
  silentSince: instant
    .nullable()
    .describe('Since when it is not known who is connected to its desktops; null: the broker is heard'),
}).register(answers, { id: 'Broker' });
export type BrokerView = z.infer<typeof brokerView>;

export const brokerList = fields({ items: list(brokerView) }).register(answers, { id: 'BrokerList' });

/** A broker that is gone for good. */
export const retiredBrokerView = fields({
  id: z.string().describe('Its CloudEvents `source`'),
  desktops: z.int().describe('About how many desktops it had said something'),
}).register(answers, { id: 'RetiredBroker' });
export type RetiredBrokerView = z.infer<typeof retiredBrokerView>;
