import type { MigrationInterface, QueryRunner } from 'typeorm';

const up = [
  `CREATE TABLE pools (
    id text PRIMARY KEY,
    policy jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
  )`,
  `INSERT INTO pools (id, policy) VALUES ('default', '{"graceMs": 60000, "keepCheckpoints": 2}')`,

  `CREATE TABLE hosts (
    id text PRIMARY KEY,
    capabilities jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
  )`,

  `CREATE TABLE desktops (
    id text PRIMARY KEY,
    pool_id text NOT NULL REFERENCES pools (id),
    host_id text,
    launch_spec jsonb NOT NULL,
    fingerprint jsonb,
    machine_state text NOT NULL,
    state_since timestamptz NOT NULL,
    generation integer NOT NULL,
    presence jsonb NOT NULL,
    grace_deadline timestamptz,
    checkpoint_id uuid,
    disk_generation uuid,
    restore_failures integer NOT NULL DEFAULT 0,
    save_failures integer NOT NULL DEFAULT 0,
    last_error jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
  )`,
  `CREATE INDEX desktops_by_pool ON desktops (pool_id)`,
  // The reconciler asks for deadlines that are over; most desktops have none.
  `CREATE INDEX desktops_by_grace_deadline ON desktops (grace_deadline) WHERE grace_deadline IS NOT NULL`,

  // No reference to desktops: the history of a desktop, and why it was refused, outlives its row.
  `CREATE TABLE operations (
    id uuid PRIMARY KEY,
    desktop_id text NOT NULL,
    kind text NOT NULL,
    phase text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'active', 'succeeded', 'failed', 'cancelled', 'superseded')),
    generation integer NOT NULL,
    reason text NOT NULL,
    requested_by text NOT NULL,
    cancel_requested_at timestamptz,
    forced boolean NOT NULL DEFAULT false,
    host_id text,
    worker_id text,
    lease_expires_at timestamptz,
    attempt integer NOT NULL DEFAULT 0,
    input jsonb,
    progress jsonb NOT NULL DEFAULT '{}',
    result jsonb,
    error jsonb,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    phase_since timestamptz NOT NULL,
    ended_at timestamptz,
    UNIQUE (desktop_id, generation)
  )`,
  `CREATE UNIQUE INDEX operations_one_open ON operations (desktop_id) WHERE status IN ('pending', 'active')`,
  `CREATE INDEX operations_open_by_age ON operations (created_at) WHERE status IN ('pending', 'active')`,

  `CREATE TABLE checkpoints (
    id uuid PRIMARY KEY,
    desktop_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('writing', 'durable', 'condemned', 'deleted')),
    storage_prefix text NOT NULL,
    disk_generation uuid,
    ram_bytes bigint NOT NULL DEFAULT 0,
    stored_bytes bigint NOT NULL DEFAULT 0,
    facts jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    durable_at timestamptz
  )`,
  `CREATE INDEX checkpoints_by_desktop ON checkpoints (desktop_id, state)`,

  `CREATE TABLE disk_generations (
    id uuid PRIMARY KEY,
    desktop_id text NOT NULL,
    parent_id uuid,
    state text NOT NULL CHECK (state IN ('prepared', 'open', 'sealed')),
    created_at timestamptz NOT NULL
  )`,
  `CREATE INDEX disk_generations_by_desktop ON disk_generations (desktop_id)`,

  `CREATE TABLE inbox_events (
    webhook_id text PRIMARY KEY,
    source text NOT NULL,
    type text NOT NULL,
    desktop_id text,
    data jsonb NOT NULL,
    occurred_at timestamptz,
    received_at timestamptz NOT NULL,
    outcome text NOT NULL
  )`,
  `CREATE INDEX inbox_events_by_age ON inbox_events (received_at)`,

  `CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    action text NOT NULL CHECK (action IN ('add', 'remove')),
    queue text NOT NULL,
    name text NOT NULL,
    job_id text NOT NULL,
    payload jsonb NOT NULL,
    run_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    dispatched_at timestamptz,
    UNIQUE (job_id, action)
  )`,
  `CREATE INDEX outbox_waiting ON outbox (id) WHERE dispatched_at IS NULL`,
  `CREATE INDEX outbox_dispatched ON outbox (dispatched_at) WHERE dispatched_at IS NOT NULL`,

  `CREATE TABLE audit_log (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    reason text,
    outcome text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'
  )`,
  `CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'audit_log is append-only: % is not allowed', TG_OP USING ERRCODE = 'restrict_violation';
  END $$`,
  `CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()`,
];

const tables = [
  'audit_log',
  'outbox',
  'inbox_events',
  'disk_generations',
  'checkpoints',
  'operations',
  'desktops',
  'hosts',
  'pools',
];

export class FirstLight1795300000000 implements MigrationInterface {
  readonly name = 'FirstLight1795300000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of up) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of tables) await runner.query(`DROP TABLE ${table}`);
    await runner.query('DROP FUNCTION audit_log_is_append_only()');
  }
}
