import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Slots have numbers; and what a user waits for leaves the outbox first. */
export class NumberedSlots1797900000000 implements MigrationInterface {
  readonly name = 'NumberedSlots1797900000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE operations ADD COLUMN host_slot smallint, ADD COLUMN storage_slot smallint');
    await runner.query('DROP INDEX outbox_waiting');
    await runner.query('CREATE INDEX outbox_waiting ON outbox (wait_until, priority, id) WHERE dispatched_at IS NULL');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX outbox_waiting');
    await runner.query('CREATE INDEX outbox_waiting ON outbox (wait_until, id) WHERE dispatched_at IS NULL');
    await runner.query('ALTER TABLE operations DROP COLUMN host_slot, DROP COLUMN storage_slot');
  }
}
