import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who wants one more save after the one that is under way. */
export class OneMoreSave1796200000000 implements MigrationInterface {
  readonly name = 'OneMoreSave1796200000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE operations ADD COLUMN again jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE operations DROP COLUMN again');
  }
}
