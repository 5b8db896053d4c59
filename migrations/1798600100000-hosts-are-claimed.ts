import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which machine a host's name belongs to. Of hosts that are known already the next worker says so. */
export class HostsAreClaimed1798600100000 implements MigrationInterface {
  readonly name = 'HostsAreClaimed1798600100000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE hosts ADD COLUMN claim jsonb, ADD COLUMN fenced_claim jsonb');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE hosts DROP COLUMN claim, DROP COLUMN fenced_claim');
  }
}
