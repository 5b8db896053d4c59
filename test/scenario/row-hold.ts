import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

const applicationName = 'dormouse-test-hold';
const workerName = 'dormouse-worker';

/**
 * Holds a desktop's row in Postgres. The ledger decides everything about a desktop under that row's lock, so its worker
 * stands still before the next decision and nowhere else: a way to be between two of its steps for certain.
 */
export class RowHold {
  private constructor(
    private readonly client: Client,
    private readonly url: string,
    private readonly desktopId: string,
  ) {}

  static async take(url: string, desktopId: string): Promise<RowHold> {
    const client = new Client({ connectionString: url, application_name: applicationName });
    await client.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT 1 FROM desktops WHERE id = $1 FOR UPDATE', [desktopId]);
      return new RowHold(client, url, desktopId);
    } catch (error) {
      await client.end();
      throw error;
    }
  }

  /** Resolves when a worker stands before its next decision. */
  workerWaits(): Promise<void> {
    return this.until('application_name = $1 AND pg_backend_pid() = ANY (pg_blocking_pids(pid))', workerName);
  }

  /** Lets the worker take the decision it stands before, and holds it before the one after that. */
  async passOne(): Promise<RowHold> {
    await this.workerWaits();
    const next = RowHold.take(this.url, this.desktopId);
    await this.until(`application_name = $1 AND wait_event_type = 'Lock'`, applicationName); // lined up behind the worker
    await this.release();
    const hold = await next;
    await hold.workerWaits();
    return hold;
  }

  async release(): Promise<void> {
    await this.client.end(); // which rolls back
  }

  private async until(condition: string, name: string): Promise<void> {
    for (;;) {
      await this.client.query('SELECT pg_stat_clear_snapshot()'); // it would stay as it is until the transaction ends
      const { rows } = await this.client.query(`SELECT 1 FROM pg_stat_activity WHERE ${condition}`, [name]);
      if (rows.length > 0) return;
      await sleep(5);
    }
  }
}
