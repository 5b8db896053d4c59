/** The shapes in which brokers speak, one file each. */
import type { BrokerAdapter } from './broker-adapter';
import { cloudEvents } from './cloud-events';
import { horizon } from './horizon';

export type { BrokerAdapter } from './broker-adapter';
export { cloudEvents } from './cloud-events';

export const brokerAdapters: readonly BrokerAdapter[] = [cloudEvents, horizon];
