import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which pool an operation belongs to: what its caps count, and what the time of later ones is learned from. */
export class PoolCaps1797570100000 implements MigrationInterface {
  readonly name = 'PoolCaps1797570100000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE operations ADD COLUMN pool_id text, ADD COLUMN waits_for_pool text');
    await runner.query('UPDATE operations o SET pool_id = d.pool_id FROM desktops d WHERE d.id = o.desktop_id');
    // Of desktops that are gone nobody knows any more which pool they were in.
    await runner.query(`UPDATE operations SET pool_id = '' WHERE pool_id IS NULL`);
    await runner.query('ALTER TABLE operations ALTER COLUMN pool_id SET NOT NULL');
    await runner.query(`CREATE INDEX operations_waiting_for_pool ON operations (pool_id, waits_for_pool)
      WHERE waits_for_pool IS NOT NULL`);
    await runner.query(`CREATE INDEX operations_learned_from ON operations (pool_id, kind, ended_at)
      WHERE status = 'succeeded'`);
    await runner.query(`CREATE INDEX desktops_with_machine_of_pool ON desktops (pool_id)
      WHERE machine_state NOT IN ('registering', 'off', 'saved', 'restore-blocked')`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX desktops_with_machine_of_pool');
    await runner.query('ALTER TABLE operations DROP COLUMN pool_id, DROP COLUMN waits_for_pool');
  }
}
