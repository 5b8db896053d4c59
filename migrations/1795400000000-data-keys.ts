import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The wrapped keys of checkpoints. Without these rows no checkpoint can be read. */
export class DataKeys1795400000000 implements MigrationInterface {
  readonly name = 'DataKeys1795400000000';

  async up(runner: QueryRunner): Promise<void> {
    // The reference to the desktop keeps a worker that is late from making a key for a desktop that is gone: a later desktop
    // of the same id would be given it.
    await runner.query(`CREATE TABLE data_keys (
      id uuid PRIMARY KEY,
      purpose text NOT NULL UNIQUE CHECK (purpose = 'content' OR purpose LIKE 'desktop/_%'),
      desktop_id text REFERENCES desktops (id)
        GENERATED ALWAYS AS (CASE WHEN purpose = 'content' THEN NULL ELSE substr(purpose, 9) END) STORED,
      kek_id text NOT NULL,
      wrapped bytea NOT NULL,
      created_at timestamptz NOT NULL,
      wrapped_at timestamptz NOT NULL
    )`);
    // A desktop that is deleted looks for what refers to it.
    await runner.query('CREATE INDEX data_keys_by_desktop ON data_keys (desktop_id)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE data_keys');
  }
}
