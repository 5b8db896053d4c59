import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What decides how long a checkpoint is kept, and when it was given up. */
export class Retention1795500000000 implements MigrationInterface {
  readonly name = 'Retention1795500000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE checkpoints
      ADD COLUMN parent_id uuid,
      ADD COLUMN restored_at timestamptz,
      ADD COLUMN pinned_at timestamptz,
      ADD COLUMN pinned_by text,
      ADD COLUMN pin_reason text,
      ADD COLUMN condemned_at timestamptz`);
    // When these were condemned is not known. They were: their time begins now.
    await runner.query(`UPDATE checkpoints SET condemned_at = now() WHERE state IN ('condemned', 'deleted')`);
    await runner.query(`ALTER TABLE checkpoints ADD CONSTRAINT checkpoints_condemned_at
      CHECK ((condemned_at IS NOT NULL) = (state IN ('condemned', 'deleted')))`);
    // Without this the first save after the upgrade could give up the only checkpoint that is known to wake.
    await runner.query(`UPDATE checkpoints SET restored_at = woken.at FROM (
        SELECT result ->> 'checkpointId' AS id, max(ended_at) AS at FROM operations
        WHERE kind = 'restore' AND status = 'succeeded' GROUP BY 1) AS woken
      WHERE checkpoints.id::text = woken.id`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE checkpoints
      DROP CONSTRAINT checkpoints_condemned_at,
      DROP COLUMN parent_id,
      DROP COLUMN restored_at,
      DROP COLUMN pinned_at,
      DROP COLUMN pinned_by,
      DROP COLUMN pin_reason,
      DROP COLUMN condemned_at`);
  }
}
