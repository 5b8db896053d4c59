import type { MigrationInterface, QueryRunner } from 'typeorm';

/** One a transaction may set: lines of the audit log that are older than it may be removed in that transaction. */
const pruningBefore = `nullif(current_setting('dormouse.audit_pruned_before', true), '')::timestamptz`;

const up = [
  // Refusals of one actor, action and outcome in one minute; the lines of the first of them are in the audit log.
  `CREATE TABLE audit_refusals (
    actor text NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL,
    minute timestamptz NOT NULL,
    refused integer NOT NULL,
    last_target text NOT NULL,
    PRIMARY KEY (actor, action, outcome, minute)
  )`,
  `CREATE INDEX audit_refusals_by_age ON audit_refusals (minute)`,
  `CREATE INDEX audit_log_by_age ON audit_log (at)`,
  `CREATE INDEX operations_ended ON operations (ended_at) WHERE ended_at IS NOT NULL`,
  `CREATE INDEX checkpoints_deleted ON checkpoints (condemned_at) WHERE state = 'deleted'`,
  `CREATE OR REPLACE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF TG_LEVEL = 'ROW' THEN
      IF OLD.at < ${pruningBefore} THEN RETURN OLD; END IF;
      RAISE EXCEPTION 'audit_log is append-only: only lines older than the moment that is pruned before may be removed'
        USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'DELETE' AND ${pruningBefore} IS NOT NULL THEN RETURN NULL; END IF;
    RAISE EXCEPTION 'audit_log is append-only: % is not allowed', TG_OP USING ERRCODE = 'restrict_violation';
  END $$`,
  `CREATE TRIGGER audit_log_pruned_by_age BEFORE DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only()`,
  'ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_pruned_by_age',
];

const down = [
  'DROP TRIGGER audit_log_pruned_by_age ON audit_log',
  `CREATE OR REPLACE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'audit_log is append-only: % is not allowed', TG_OP USING ERRCODE = 'restrict_violation';
  END $$`,
  'DROP INDEX checkpoints_deleted',
  'DROP INDEX operations_ended',
  'DROP INDEX audit_log_by_age',
  'DROP TABLE audit_refusals',
];

/** What callers can make grow is counted, or removed by its age: `docs/retention.md`. */
export class BoundedHistory1798500000000 implements MigrationInterface {
  readonly name = 'BoundedHistory1798500000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of up) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of down) await runner.query(statement);
  }
}
