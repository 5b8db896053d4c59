import type { DataSource } from 'typeorm';

/** @throws when the database does not answer, or takes no changes */
export async function assertWritable(dataSource: DataSource): Promise<void> {
  const [row] = await dataSource.query<{ readOnly: string }[]>(
    `SELECT current_setting('transaction_read_only') AS "readOnly"`,
  );
  if (row?.readOnly !== 'off') {
    throw new Error('it takes no changes: it is a standby, or default_transaction_read_only is set');
  }
}
