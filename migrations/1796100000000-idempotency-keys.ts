import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Requests that may come twice, and what was answered. */
export class IdempotencyKeys1796100000000 implements MigrationInterface {
  readonly name = 'IdempotencyKeys1796100000000';

  async up(runner: QueryRunner): Promise<void> {
    // A key is its caller's own: nobody learns from it what another has asked.
    await runner.query(`CREATE TABLE idempotency_keys (
      actor text NOT NULL,
      key text NOT NULL,
      fingerprint text NOT NULL,
      begun_at timestamptz NOT NULL,
      answer jsonb,
      PRIMARY KEY (actor, key)
    )`);
    await runner.query('CREATE INDEX idempotency_keys_by_age ON idempotency_keys (begun_at)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE idempotency_keys');
  }
}
