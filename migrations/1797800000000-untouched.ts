import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Whether somebody has been at a desktop since it was woken. */
export class Untouched1797800000000 implements MigrationInterface {
  readonly name = 'Untouched1797800000000';

  async up(runner: QueryRunner): Promise<void> {
    // Of those that run now it is not known: they count as used.
    await runner.query('ALTER TABLE desktops ADD COLUMN untouched boolean NOT NULL DEFAULT false');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE desktops DROP COLUMN untouched');
  }
}
