import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What keeps a host from its work, as its worker has found: storage, directories, keys. */
export class HostTroubles1798900000000 implements MigrationInterface {
  readonly name = 'HostTroubles1798900000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE hosts ADD COLUMN troubles jsonb NOT NULL DEFAULT '[]'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE hosts DROP COLUMN troubles');
  }
}
