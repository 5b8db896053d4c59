import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What brokers say of users that are idle, and of whose desktop it is. */
export class Assignments1797570200000 implements MigrationInterface {
  readonly name = 'Assignments1797570200000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE desktops ADD COLUMN idle_since timestamptz, ADD COLUMN assignment jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE desktops DROP COLUMN idle_since, DROP COLUMN assignment');
  }
}
