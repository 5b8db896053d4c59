import type { DataSource } from 'typeorm';
import { askNumber } from './ask-number';

const oldestWaiting = `
  SELECT coalesce(extract(epoch FROM now() - min(greatest(created_at, wait_until))), 0)::float8 AS value
  FROM outbox WHERE dispatched_at IS NULL AND wait_until <= now()`;

/** Age of the oldest job that has not reached its queue; 0 when there is none, NaN when the database does not answer. */
export function outboxLagSeconds(dataSource: DataSource): Promise<number> {
  return askNumber(dataSource, oldestWaiting);
}
