import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A desktop belongs to a broker. Until now `broker` was the one that spoke last of its users: where only one has spoken it is the same.
 * Where several have, all brokers may go on to speak of the desktops of that pool. What somebody has sent by hand makes nobody's desktop
 * theirs.
 */
export class DesktopsBelongToBrokers1798800200000 implements MigrationInterface {
  readonly name = 'DesktopsBelongToBrokers1798800200000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`UPDATE desktops SET broker = (
      SELECT min(part ->> 'source') FROM jsonb_array_elements(presence -> 'sources') AS part
      WHERE part ->> 'source' <> 'dormouse-cli' HAVING count(*) = 1)`);
    await runner.query(`UPDATE pools SET policy = policy || '{"brokers": "any"}' WHERE NOT policy ? 'brokers' AND id IN (
      SELECT d.pool_id FROM desktops d
      WHERE (SELECT count(*) FROM jsonb_array_elements(d.presence -> 'sources') AS part
             WHERE part ->> 'source' <> 'dormouse-cli') > 1)`);
    await runner.query('CREATE INDEX desktops_of_broker ON desktops (broker)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX desktops_of_broker');
    await runner.query(
      `UPDATE pools SET policy = policy - 'brokers' WHERE jsonb_typeof(policy -> 'brokers') = 'string'`,
    );
    await runner.query(`UPDATE desktops SET broker = coalesce(broker, (
      SELECT max(part ->> 'source') FROM jsonb_array_elements(presence -> 'sources') AS part))`);
  }
}
