import type { MigrationInterface, QueryRunner } from 'typeorm';

interface Waiting {
  readonly sequence: number;
  readonly opened?: string;
  readonly closed?: string;
}

interface Row {
  readonly id: string;
  readonly broker: string | null;
  readonly machine_state: string;
  readonly presence: {
    readonly connections: readonly string[];
    readonly brokerEpoch: string | null;
    readonly sequence: number | null;
    readonly ahead: readonly Waiting[];
    readonly complete: boolean;
    readonly pastEpochs: readonly string[];
    readonly silent?: boolean;
  };
  readonly logged_off: boolean;
  readonly idle_since: Date | null;
  readonly assignment: {
    readonly kind: string;
    readonly userRef: string | null;
    readonly brokerEpoch: string | null;
    readonly sequence: number | null;
  } | null;
  readonly absent_since: Date | null;
  readonly absence_cause: string | null;
}

const withoutMachine = ['registering', 'off', 'saved', 'restore-blocked'];
const reasons = ['user', 'idle', 'network', 'replaced', 'admin', 'broker_restart', 'agent_lost'];
const mostTogether = 1_000;

/**
 * What is known of a desktop's users belongs to the broker that said it. Until now one account was kept for all brokers of a desktop:
 * it becomes that of the one that spoke last.
 */
export class PresenceBySource1798200000000 implements MigrationInterface {
  readonly name = 'PresenceBySource1798200000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX desktops_in_silence');
    for (let after = ''; ;) {
      const rows = (await runner.query(
        `SELECT id, broker, machine_state, presence, logged_off, idle_since, assignment, absent_since, absence_cause
         FROM desktops WHERE id > $1 ORDER BY id LIMIT ${mostTogether}`,
        [after],
      )) as Row[];
      if (rows.length === 0) break;
      const values = rows.map((row) => ({ id: row.id, presence: { sources: sourcesOf(row) } }));
      await runner.query(
        `UPDATE desktops AS kept SET presence = given.presence, broker = btrim(broker),
           doubt_since = CASE WHEN machine_state = ANY ($2) THEN NULL ELSE doubt_since END
         FROM jsonb_to_recordset($1) AS given (id text, presence jsonb) WHERE kept.id = given.id`,
        [JSON.stringify(values), withoutMachine],
      );
      after = rows.at(-1)!.id;
    }
    await runner.query('ALTER TABLE desktops DROP COLUMN logged_off, DROP COLUMN idle_since, DROP COLUMN assignment');
    // Of desktops whose broker is silent, which is nearly always none.
    await runner.query(`CREATE INDEX desktops_in_silence ON desktops (id) WHERE presence @? '$.sources[*].silent'`);
  }

  /** Back to one account: of the broker that spoke last, and as one that only a snapshot makes certain where others have spoken too. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX desktops_in_silence');
    await runner.query(`ALTER TABLE desktops ADD COLUMN logged_off boolean NOT NULL DEFAULT false,
      ADD COLUMN idle_since timestamptz, ADD COLUMN assignment jsonb`);
    await runner.query(`UPDATE desktops SET presence = jsonb_build_object(
      'connections', coalesce((SELECT jsonb_agg(DISTINCT one -> 'id')
        FROM jsonb_path_query(presence, '$.sources[*].connections[*] ? (@.open == true)') AS one), '[]'),
      'brokerEpoch', part -> 'epoch', 'sequence', part -> 'numbers' -> 'last', 'ahead', '[]'::jsonb,
      'complete', doubt_since IS NULL, 'pastEpochs', coalesce(part -> 'pastEpochs', '[]'))
      FROM (SELECT d.id, jsonb_path_query_first(d.presence, '$.sources[*] ? (@.source == $name)',
        jsonb_build_object('name', d.broker)) AS part FROM desktops d) AS spoke WHERE spoke.id = desktops.id`);
    await runner.query(`CREATE INDEX desktops_in_silence ON desktops (broker) WHERE presence ? 'silent'`);
  }
}

function sourcesOf(row: Row): readonly unknown[] {
  const { presence, assignment } = row;
  const { brokerEpoch: epoch, sequence, ahead } = presence;
  const says = epoch !== null || sequence !== null || presence.connections.length > 0 || !presence.complete;
  if (row.broker === null && assignment === null && !says) return [];
  const hasMachine = !withoutMachine.includes(row.machine_state);
  const numbers = ahead.map((waiting) => waiting.sequence);
  const last = numbers.length === 0 ? sequence : Math.max(...numbers);
  const known = new Map(presence.connections.map((id) => [id, { id, open: true, sequence: null as number | null }]));
  for (const { sequence: number, opened, closed } of ahead) {
    if (opened !== undefined) known.set(opened, { id: opened, open: true, sequence: number });
    if (closed !== undefined) known.set(closed, { id: closed, open: false, sequence: number });
  }
  const connections = [...known.values()]
    .sort((one, other) => (one.id < other.id ? -1 : 1))
    .map((connection) => ({ ...connection, atMs: null }));
  const isThere = connections.some(({ open }) => open);
  const unmarked = { sequence: null, atMs: null };
  const sinceMs = row.absent_since?.getTime() ?? null;
  return [
    {
      source: row.broker?.trim() ?? 'unknown',
      epoch,
      epochSinceMs: null,
      pastEpochs: presence.pastEpochs,
      numbers: { last, missing: hasMachine ? gapsIn(sequence, numbers) : [], givenUp: [] },
      lost: presence.complete || !hasMachine ? null : { why: epoch === null ? 'gaps' : 'epoch', upTo: 0 },
      connections,
      latestAtMs: null,
      snapshotAtMs: null,
      activity: activityOf(row, sinceMs),
      left:
        isThere || sinceMs === null
          ? null
          : { ...unmarked, sinceMs, reason: reasons.find((one) => one === row.absence_cause) ?? 'unknown' },
      assignment: assignment && {
        kind: assignment.kind,
        userRef: assignment.userRef,
        sequence: assignment.brokerEpoch === epoch ? assignment.sequence : null,
        atMs: null,
      },
      ...(hasMachine && presence.silent !== undefined && { silent: presence.silent }),
    },
  ];
}

function activityOf({ logged_off, idle_since, absence_cause }: Row, sinceMs: number | null): unknown {
  const unmarked = { sequence: null, atMs: null };
  // A logoff whose disconnect had not come yet is not believed: when it was told is not known.
  if (logged_off && absence_cause === 'logoff') return { ...unmarked, state: 'loggedOff', sinceMs: sinceMs ?? 0 };
  return idle_since === null ? null : { ...unmarked, state: 'idle', sinceMs: idle_since.getTime() };
}

function gapsIn(sequence: number | null, numbers: readonly number[]): readonly (readonly [number, number])[] {
  let last = sequence;
  return [...numbers]
    .sort((one, other) => one - other)
    .flatMap((number) => {
      const gap = last !== null && number > last + 1 ? [[last + 1, number - 1] as const] : [];
      last = number;
      return gap;
    });
}
