import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Timers of a time far away wait in the outbox. */
export class TimersWait1797600000000 implements MigrationInterface {
  readonly name = 'TimersWait1797600000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE outbox ADD COLUMN wait_until timestamptz NOT NULL DEFAULT '-infinity'`);
    await runner.query('DROP INDEX outbox_waiting');
    // The dispatcher asks every second for what is due; timers that wait are behind that, however many.
    await runner.query('CREATE INDEX outbox_waiting ON outbox (wait_until, id) WHERE dispatched_at IS NULL');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX outbox_waiting');
    await runner.query('ALTER TABLE outbox DROP COLUMN wait_until');
    await runner.query('CREATE INDEX outbox_waiting ON outbox (id) WHERE dispatched_at IS NULL');
  }
}
