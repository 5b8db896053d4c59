import type { DataSource } from 'typeorm';
import { askNumber } from './ask-number';

/** Brokers that send heartbeats no more; NaN when the database does not answer. */
export function silentBrokers(dataSource: DataSource): Promise<number> {
  return askNumber(dataSource, 'SELECT count(*)::int AS value FROM brokers WHERE silent_since IS NOT NULL');
}
