import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who may ask, and a quick way to what was asked. */
export class ApiKeys1797000000000 implements MigrationInterface {
  readonly name = 'ApiKeys1797000000000';

  async up(runner: QueryRunner): Promise<void> {
    // Rows stay when a key is revoked: a name in the audit log means one key for ever.
    await runner.query(`CREATE TABLE api_keys (
      name text PRIMARY KEY,
      hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
      scope text NOT NULL CHECK (scope IN ('viewer', 'operator', 'admin')),
      pools text[] CHECK (cardinality(pools) > 0),
      created_at timestamptz NOT NULL,
      created_by text NOT NULL,
      expires_at timestamptz NOT NULL,
      last_used_at timestamptz,
      revoked_at timestamptz,
      revoked_by text
    )`);
    await runner.query('CREATE INDEX audit_log_by_target ON audit_log (target, id)');
    await runner.query('CREATE INDEX audit_log_by_actor ON audit_log (actor, id)');
    // Without ALWAYS a session that says it replicates would pass the trigger by.
    await runner.query('ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_append_only');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE audit_log ENABLE TRIGGER audit_log_append_only');
    await runner.query('DROP INDEX audit_log_by_actor, audit_log_by_target');
    await runner.query('DROP TABLE api_keys');
  }
}
