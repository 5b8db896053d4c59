import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Operations that a user waits for, whoever asked for them, and jobs that are moved forward for it. */
export class AwaitedOperations1797570000000 implements MigrationInterface {
  readonly name = 'AwaitedOperations1797570000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE operations ADD COLUMN awaited boolean NOT NULL DEFAULT false');
    await runner.query(`UPDATE operations SET awaited = true WHERE requested_by = 'broker'`);
    await runner.query(`ALTER TABLE outbox DROP CONSTRAINT outbox_action_check,
      ADD CONSTRAINT outbox_action_check CHECK (action IN ('add', 'hasten', 'remove'))`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DELETE FROM outbox WHERE action = 'hasten'`);
    await runner.query(`ALTER TABLE outbox DROP CONSTRAINT outbox_action_check,
      ADD CONSTRAINT outbox_action_check CHECK (action IN ('add', 'remove'))`);
    await runner.query('ALTER TABLE operations DROP COLUMN awaited');
  }
}
