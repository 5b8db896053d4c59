import type { BrokerAdapter } from './broker-adapter';

/** What brokers send that speak as we do. */
export const cloudEvents: BrokerAdapter = { name: 'cloudevents', toEvents: (message) => [message] };
