import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What QEMU says of a guest that does not simply run. */
export class GuestConditions1798800000000 implements MigrationInterface {
  readonly name = 'GuestConditions1798800000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE desktops ADD COLUMN guest_condition jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE desktops DROP COLUMN guest_condition');
  }
}
