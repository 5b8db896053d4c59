import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Names that differ in capitals alone are one desktop's. */
export class DesktopsByKey1798800300000 implements MigrationInterface {
  readonly name = 'DesktopsByKey1798800300000';

  /** @throws when there are two such desktops: which one is meant only an operator knows */
  async up(runner: QueryRunner): Promise<void> {
    const rows = (await runner.query(
      `SELECT string_agg(id, ' and ' ORDER BY id) AS ids FROM desktops GROUP BY lower(id) HAVING count(*) > 1 ORDER BY 1`,
    )) as { ids: string }[];
    if (rows.length > 0) {
      const which = rows.map(({ ids }) => ids).join('; ');
      throw new Error(
        `desktops whose names differ in capitals alone are one desktop from this version on, and there are: ${which}. ` +
          'Delete one of each with the version before (`dormouse desktop delete`), then start this one again.',
      );
    }
    await runner.query('CREATE UNIQUE INDEX desktops_key ON desktops (lower(id))');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX desktops_key');
  }
}
