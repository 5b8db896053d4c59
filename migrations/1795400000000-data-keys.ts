import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The wrapped keys of checkpoints. Without these rows no checkpoint can be read. */
export class DataKeys1795400000000 implements MigrationInterface {
  readonly name = 'DataKeys1795400000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE data_keys (
      id uuid PRIMARY KEY,
      purpose text NOT NULL UNIQUE,
      kek_id text NOT NULL,
      wrapped bytea NOT NULL,
      created_at timestamptz NOT NULL,
      wrapped_at timestamptz NOT NULL
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE data_keys');
  }
}
