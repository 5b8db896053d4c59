import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Brokers that send heartbeats, and whether they have fallen silent. */
export class Brokers1798100000000 implements MigrationInterface {
  readonly name = 'Brokers1798100000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE brokers (
      id text PRIMARY KEY,
      interval_seconds integer NOT NULL,
      heard_at timestamptz NOT NULL,
      silent_since timestamptz
    )`);
    // Of desktops whose broker is silent, which is nearly always none.
    await runner.query(`CREATE INDEX desktops_in_silence ON desktops (broker) WHERE presence ? 'silent'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX desktops_in_silence');
    await runner.query('DROP TABLE brokers');
  }
}
