import type { DataSource } from 'typeorm';

/** Brokers that send heartbeats no more; NaN when the database does not answer. */
export async function silentBrokers(dataSource: DataSource): Promise<number> {
  try {
    const [row] = await dataSource.query<{ silent: number }[]>(
      'SELECT count(*)::int AS silent FROM brokers WHERE silent_since IS NOT NULL',
    );
    return row?.silent ?? 0;
  } catch {
    return Number.NaN; // /readyz tells that and why; the other metrics are wanted just then
  }
}
