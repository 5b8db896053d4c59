import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How often in a row a desktop was woken in vain. */
export class WakesInVain1798000000000 implements MigrationInterface {
  readonly name = 'WakesInVain1798000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE desktops ADD COLUMN wakes_in_vain integer NOT NULL DEFAULT 0');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE desktops DROP COLUMN wakes_in_vain');
  }
}
