import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Since when and why nobody is at a desktop, what holds it up, and what storms its pool is in. */
export class Absences1796000000000 implements MigrationInterface {
  readonly name = 'Absences1796000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE desktops
      ADD COLUMN pool_version integer NOT NULL DEFAULT 0,
      ADD COLUMN broker text,
      ADD COLUMN absent_since timestamptz,
      ADD COLUMN absence_cause text,
      ADD COLUMN doubt_since timestamptz,
      ADD COLUMN logged_off boolean NOT NULL DEFAULT false,
      ADD COLUMN woke_at timestamptz,
      ADD COLUMN held_until timestamptz,
      ADD COLUMN held_by text,
      ADD COLUMN hold_reason text`);
    await runner.query(`ALTER TABLE desktops ADD CONSTRAINT desktops_absence
      CHECK ((absent_since IS NULL) = (absence_cause IS NULL))`);
    // A grace that runs goes on; when exactly it began is not known, and it is the state that began with it.
    await runner.query(`UPDATE desktops SET absent_since = state_since, absence_cause = 'unknown'
      WHERE machine_state IN ('grace', 'queued', 'saving', 'committing', 'save-failed')`);
    await runner.query(`UPDATE desktops SET doubt_since = updated_at
      WHERE NOT (presence ->> 'complete')::boolean OR jsonb_array_length(presence -> 'ahead') > 0`);
    // Who has left lately: what storms are made of. Most desktops sleep and have not.
    await runner.query('CREATE INDEX desktops_by_absence ON desktops (absent_since) WHERE absent_since IS NOT NULL');
    // Deadlines that a new policy may move.
    await runner.query(`CREATE INDEX desktops_waited_with ON desktops (pool_id, pool_version)
      WHERE absent_since IS NOT NULL AND machine_state IN ('running', 'grace', 'queued', 'save-failed')`);
    await runner.query(`ALTER TABLE pools
      ADD COLUMN version integer NOT NULL DEFAULT 0,
      ADD COLUMN storms jsonb NOT NULL DEFAULT '[]'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE pools DROP COLUMN version, DROP COLUMN storms');
    await runner.query(`ALTER TABLE desktops
      DROP COLUMN pool_version,
      DROP COLUMN broker,
      DROP COLUMN absent_since,
      DROP COLUMN absence_cause,
      DROP COLUMN doubt_since,
      DROP COLUMN logged_off,
      DROP COLUMN woke_at,
      DROP COLUMN held_until,
      DROP COLUMN held_by,
      DROP COLUMN hold_reason`);
  }
}
