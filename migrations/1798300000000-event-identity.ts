import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Webhook ids belong to their broker, and an event is known by its own id as well; what was wrong with it is kept. */
export class EventIdentity1798300000000 implements MigrationInterface {
  readonly name = 'EventIdentity1798300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'ALTER TABLE inbox_events ADD COLUMN event_id text, ADD COLUMN digest text, ADD COLUMN notes jsonb',
    );
    await runner.query(
      'ALTER TABLE inbox_events DROP CONSTRAINT inbox_events_pkey, ADD PRIMARY KEY (webhook_id, source)',
    );
    await runner.query('CREATE UNIQUE INDEX inbox_events_by_event ON inbox_events (event_id, source)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX inbox_events_by_event');
    // Of the same webhook id of several brokers the one that came first stays.
    await runner.query(
      `DELETE FROM inbox_events AS late USING inbox_events AS early WHERE late.webhook_id = early.webhook_id
         AND (late.received_at, late.source) > (early.received_at, early.source)`,
    );
    await runner.query(
      'ALTER TABLE inbox_events DROP CONSTRAINT inbox_events_pkey, ADD PRIMARY KEY (webhook_id), DROP COLUMN event_id, DROP COLUMN digest, DROP COLUMN notes',
    );
  }
}
