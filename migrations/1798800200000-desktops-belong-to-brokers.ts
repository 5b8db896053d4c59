import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A desktop belongs to the broker that assigned it. So far `broker` was the one that spoke last of its users. Where several brokers have
 * assigned the same desktop, all may go on to speak of the desktops of that pool. What somebody has sent by hand claims nothing.
 */
const assigner = `SELECT part ->> 'source' AS source FROM jsonb_array_elements(presence -> 'sources') AS part
  WHERE part ->> 'source' <> 'dormouse-cli' AND part -> 'assignment' ->> 'kind' = 'assigned'`;

export class DesktopsBelongToBrokers1798800200000 implements MigrationInterface {
  readonly name = 'DesktopsBelongToBrokers1798800200000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `UPDATE desktops SET broker = (SELECT min(source) FROM (${assigner}) AS one HAVING count(*) = 1)`,
    );
    await runner.query(`UPDATE pools SET policy = policy || '{"brokers": "any"}' WHERE NOT policy ? 'brokers' AND id IN (
      SELECT pool_id FROM desktops WHERE (SELECT count(*) FROM (${assigner}) AS one) > 1)`);
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
