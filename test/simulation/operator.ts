import { setTimeout as sleep } from 'node:timers/promises';
import type { SimulatedCloud } from './cloud';
import type { DayReport } from './day';

/** What is open or undone in the whole cloud. */
export interface Standing {
  readonly openOperations: number;
  /** Desktops by their state. */
  readonly states: Readonly<Record<string, number>>;
  /** Events that are stored. */
  readonly events: number;
  /** Desktops that somebody is said to be at, or that it is not known of. */
  readonly notEmpty: number;
  readonly wakes: number;
  readonly saves: number;
}

/** States in which a desktop without a user comes to rest. */
const atRest = ['saved', 'off'];

export async function standingOf({ dataSource }: SimulatedCloud): Promise<Standing> {
  const count = async (query: string): Promise<number> => {
    const [row] = await dataSource.query<{ count: string | null }[]>(query);
    return Number(row!.count ?? 0);
  };
  const states: { machine_state: string; count: number }[] = await dataSource.query(
    'SELECT machine_state, count(*)::int AS count FROM desktops GROUP BY 1 ORDER BY 1',
  );
  const ended = (kind: string) => `SELECT count(*) FROM operations WHERE kind = '${kind}' AND status = 'succeeded'`;
  return {
    openOperations: await count(`SELECT count(*) FROM operations WHERE status IN ('pending', 'active')`),
    states: Object.fromEntries(states.map((row) => [row.machine_state, row.count])),
    events: await count('SELECT count(*) FROM inbox_events'),
    notEmpty: await count(
      `SELECT count(*) FROM desktops WHERE doubt_since IS NOT NULL
         OR presence @? '$.sources[*].connections[*] ? (@.open == true)'`,
    ),
    wakes: await count(ended('restore')),
    saves: await count(ended('save')),
  };
}

/**
 * From the first event that asked for each desktop having been sent to a worker having begun to wake it; ms, in order. What was asked
 * for in vain is Infinity.
 */
export async function wakeStartsMs(
  { dataSource }: SimulatedCloud,
  { askedForAtMs, begunMs }: Pick<DayReport, 'askedForAtMs' | 'begunMs'>,
): Promise<number[]> {
  const rows: { id: string; started: Date | null }[] = await dataSource.query(
    `SELECT desktop_id AS id, min(started_at) AS started FROM operations
     WHERE kind IN ('restore', 'boot') AND requested_by = 'broker' AND created_at >= $1 GROUP BY 1`,
    [new Date(begunMs)],
  );
  const startedAtMs = new Map(rows.map(({ id, started }) => [id, started?.getTime() ?? Infinity]));
  const waits = [...askedForAtMs].map(([id, askedAtMs]) => (startedAtMs.get(id) ?? Infinity) - askedAtMs);
  return waits.sort((one, other) => one - other);
}

/** For how long a day of ten thousand desktops may take, on two processors, to come to rest. */
export const restPatienceMs = 20 * 60_000;

/** Does what a person on duty does all day: what an operator has to decide is decided, until everything rests. */
export async function untilAtRest(cloud: SimulatedCloud, patienceMs: number): Promise<Standing> {
  const end = Date.now() + patienceMs;
  for (;;) {
    await decideWhatIsLeft(cloud);
    const standing = await standingOf(cloud);
    const restless = Object.keys(standing.states).filter((state) => !atRest.includes(state));
    if (standing.openOperations === 0 && restless.length === 0) return standing;
    if (Date.now() > end) throw new Error(`not at rest after ${patienceMs} ms: ${JSON.stringify(standing)}`);
    await sleep(500);
  }
}

/** A wake that was lost is begun again from the checkpoint; a save that failed is not waited for a minute. */
async function decideWhatIsLeft({ dataSource, ledger }: SimulatedCloud): Promise<void> {
  const rows: { id: string; machine_state: string }[] = await dataSource.query(
    `SELECT id, machine_state FROM desktops WHERE machine_state IN ('restore-blocked', 'save-failed', 'quarantined')`,
  );
  const asked = { 'restore-blocked': 'restore', 'save-failed': 'save', quarantined: 'stop' } as const;
  for (const { id, machine_state: state } of rows) {
    const kind = asked[state as keyof typeof asked];
    // Refused, when the desktop has gone on meanwhile: it is looked at again.
    await ledger.request(id, { kind, reason: 'on duty', requestedBy: 'on-duty' }).catch(() => undefined);
  }
}
