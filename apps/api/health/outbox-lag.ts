import type { DataSource } from 'typeorm';

const oldestWaiting = `
  SELECT coalesce(extract(epoch FROM now() - min(greatest(created_at, wait_until))), 0)::float8 AS seconds
  FROM outbox WHERE dispatched_at IS NULL AND wait_until <= now()`;

/** Age of the oldest job that has not reached its queue; 0 when there is none, NaN when the database does not answer. */
export async function outboxLagSeconds(dataSource: DataSource): Promise<number> {
  try {
    const [row] = await dataSource.query<{ seconds: number }[]>(oldestWaiting);
    return row?.seconds ?? 0;
  } catch {
    return Number.NaN; // /readyz tells that and why; the other metrics are wanted just then
  }
}
