/** How often one may ask. Not here: who asks (access/), and what happens to those who are refused. */
export { takeTurn, type RateLimit, type Turn } from './rate-limit';
export { SharedRates } from './shared-rates';
