import type { DataSource } from 'typeorm';

/** @param statement selects one number, as `value`. @returns it; NaN when the database does not answer */
export async function askNumber(dataSource: DataSource, statement: string): Promise<number> {
  try {
    const [row] = await dataSource.query<{ value: number }[]>(statement);
    return row?.value ?? 0;
  } catch {
    return Number.NaN; // /readyz tells that and why; the other metrics are wanted just then
  }
}
