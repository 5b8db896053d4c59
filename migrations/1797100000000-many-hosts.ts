import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What placing machines on many hosts, and admitting work in order, has to know. */
export class ManyHosts1797100000000 implements MigrationInterface {
  readonly name = 'ManyHosts1797100000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE hosts
      ADD COLUMN intent text NOT NULL DEFAULT 'open' CHECK (intent IN ('open', 'cordoned', 'draining', 'fenced')),
      ADD COLUMN intent_reason text`);
    await runner.query(`ALTER TABLE desktops
      ADD COLUMN memory_mib integer GENERATED ALWAYS AS ((launch_spec ->> 'memoryMiB')::integer) STORED`);
    // How much memory a host has given away is asked at every wake. Desktops that sleep are not in here, however many they are.
    await runner.query(`CREATE INDEX desktops_with_machine ON desktops (host_id) INCLUDE (memory_mib)
      WHERE machine_state NOT IN ('registering', 'off', 'saved', 'restore-blocked')`);
    await runner.query(`CREATE INDEX operations_active ON operations (host_id) WHERE status = 'active'`);
    await runner.query('ALTER TABLE outbox ADD COLUMN priority smallint NOT NULL DEFAULT 0');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE outbox DROP COLUMN priority');
    await runner.query('DROP INDEX operations_active');
    await runner.query('DROP INDEX desktops_with_machine');
    await runner.query('ALTER TABLE desktops DROP COLUMN memory_mib');
    await runner.query('ALTER TABLE hosts DROP COLUMN intent, DROP COLUMN intent_reason');
  }
}
