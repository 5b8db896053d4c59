import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Until when an operation that overrides a user's presence may begin. Those that wait already had no limit, and get none. */
export class OperationsExpire1798600000000 implements MigrationInterface {
  readonly name = 'OperationsExpire1798600000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE operations ADD COLUMN valid_until timestamptz');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE operations DROP COLUMN valid_until');
  }
}
