import type { DataSource, QueryRunner } from 'typeorm';

/** Names this duty among all who take advisory locks of this database. */
const duties = { 'collect the storage': 0x67617262, 'collect the layers': 0x6c617965 } as const;

/**
 * A duty that one process at a time sees to. It has it for as long as its connection to Postgres lives, so nobody waits for
 * a lease of a process that died. Two may believe for a moment that they have it: what they do must bear that.
 */
export class OnlyOne {
  private connection: QueryRunner | null = null;

  constructor(
    private readonly dataSource: DataSource,
    private readonly duty: keyof typeof duties,
    /** Whose: a host's, where each has its own. */
    private readonly of = '',
  ) {}

  private get lock(): [number, string] {
    return [duties[this.duty], this.of];
  }

  /** Whether it is ours, taken now if it is free. @throws what Postgres says */
  async isOurs(): Promise<boolean> {
    if (this.connection !== null) {
      try {
        await this.connection.query('SELECT 1'); // the lock went with the connection, if that is gone
        return true;
      } catch (error) {
        await this.leave();
        throw error;
      }
    }
    const connection = this.dataSource.createQueryRunner();
    try {
      const rows = (await connection.query('SELECT pg_try_advisory_lock($1, hashtext($2)) AS ours', this.lock)) as {
        ours: boolean;
      }[];
      const isOurs = rows[0]?.ours === true;
      if (isOurs) this.connection = connection;
      return isOurs;
    } finally {
      if (this.connection !== connection) await connection.release();
    }
  }

  /** Somebody else may have it now. */
  async leave(): Promise<void> {
    const connection = this.connection;
    this.connection = null;
    if (connection === null || connection.isReleased) return;
    try {
      await connection.query('SELECT pg_advisory_unlock($1, hashtext($2))', this.lock);
    } catch {
      // The connection is gone, and the lock with it.
    } finally {
      await connection.release();
    }
  }
}
