import type { ErrorCode } from '@dormouse/errors';
import { assignmentIn, idleSinceOf } from './attendance';
import { doubtsInWords, doubtsOf, type Doubt } from './doubt';
import { mayFallBack } from './fall-back';
import type { Rung } from './ladder';
import type { Consent } from './pool-policy';
import { conditionsInWords, type KeptCondition } from './guest-condition';
import { machineStates, type MachineState } from './machine-states';
import type { OperationKind } from './operations';
import { planFor, type Pool, type Wait } from './plan';
import { occupancy, visibleConnections, type Occupancy } from './presence';
import type { AbsenceCause, Session } from './session';

/** What the ledger knows besides the session. */
export interface Circumstances {
  /** Of the open operation. */
  readonly reason: string | null;
  /** What the open operation waits for before it can begin; null when for nothing but a worker. */
  readonly waitingFor: { readonly what: 'host' | 'pool'; readonly inWords: string } | null;
  readonly hostId: string | null;
  /** Since when nothing has been heard of the host; null when it is alive. */
  readonly hostSilentSinceMs: number | null;
  /** Whether it leaves its host, which is being drained; null when that is not, or the desktop is none that the drain saves. */
  readonly draining: Draining | null;
  /** What QEMU says of its guest; null when that simply runs, or has no machine. */
  readonly condition: KeptCondition | null;
  /** What can be done with it when it cannot be woken. */
  readonly rungs: readonly Rung[];
  /** What the storage has answered that the memory of a waking guest comes from; null when nothing is wrong. */
  readonly waitingForStorage: string | null;
}

/** What a drain of its host does with a desktop that runs. */
export interface Draining {
  /** Why it stays there; null when it is to be saved. */
  readonly stays: 'its saves fail' | 'no other host' | null;
  /** When it is saved, epoch ms, if it does not stay. */
  readonly atMs: number;
}

/** Why a desktop is as it is, what comes next, and what did not come: as data, and in words. */
export interface Explanation {
  readonly sentence: string;
  readonly state: MachineState;
  readonly stateSinceMs: number;
  readonly occupancy: Occupancy;
  readonly connections: readonly string[];
  /** Since when nobody is there, or since when that is not certain. */
  readonly occupancySinceMs: number | null;
  readonly absenceCause: AbsenceCause | null;
  readonly doubts: readonly Doubt[];
  readonly next: Next;
  /** Why it was not put to sleep, or not woken. */
  readonly hindrances: readonly Hindrance[];
  readonly choices: readonly Choice[];
}

/** What an operator can consent to. */
export interface Choice {
  readonly rung: Rung;
  readonly sentence: string;
}

export interface Next {
  readonly what: OperationKind | 'thaw' | 'nothing';
  /** `time`: at `atMs`. `user`: when one comes. `worker`: as soon as one takes it, or as it goes on. `operator`: when told to. */
  readonly when: 'time' | 'user' | 'worker' | 'operator';
  readonly atMs: number | null;
}

export interface Hindrance {
  readonly code:
    | ErrorCode
    | 'BROKER_DELETED'
    | 'DRAINING'
    | 'FIRST_USER'
    | 'GUEST_CONDITION'
    | 'POOL_FULL'
    | 'STORM'
    | 'SETTLING'
    | 'RESIDENCY';
  readonly sentence: string;
}

export function explain(session: Session, pool: Pool, circumstances: Circumstances): Explanation {
  const next = nextOf(session, pool, circumstances);
  const hindrances = hindrancesOf(session, pool, circumstances);
  const choices = circumstances.rungs.map((rung) => ({ rung, sentence: choiceInWords(session, rung) }));
  return {
    sentence: [
      stateInWords(session, circumstances),
      presenceInWords(session),
      nextInWords(session, next, circumstances),
      ...(next.what === 'save' && next.when === 'time' && mayFallBack(session, pool) ? [fallsBack] : []),
      ...hindrances.map(({ sentence }) => sentence),
      ...choices.map(({ sentence }) => sentence),
    ].join(' '),
    state: session.machine,
    stateSinceMs: session.machineSinceMs,
    occupancy: occupancy(session.presence),
    connections: visibleConnections(session.presence),
    occupancySinceMs: session.absence?.sinceMs ?? session.doubtSinceMs,
    absenceCause: session.absence?.cause ?? null,
    doubts: doubtsOf(session.presence),
    next,
    hindrances,
    choices,
  };
}

const states: Readonly<Record<MachineState, string>> = {
  registering: 'The launch spec is being examined',
  off: 'The desktop is off',
  booting: 'The desktop boots',
  running: 'The desktop runs',
  grace: 'The desktop runs and waits for its user',
  queued: 'The desktop runs and is to be saved',
  saving: 'The desktop runs and is being saved',
  committing: 'The desktop stands still while the last of it is saved',
  resident: 'The desktop is saved and still in memory',
  saved: 'The desktop sleeps',
  restoring: 'The desktop is being woken',
  hydrating: 'The desktop runs while its memory comes',
  'save-failed': 'The desktop runs because its save has failed',
  'restore-blocked': 'The desktop sleeps and cannot be woken without an operator',
  quarantined: 'It is not certain where this desktop runs, so nothing is done with it',
};

function stateInWords({ machine, machineSinceMs, operation }: Session, { reason }: Circumstances): string {
  const why = operation === null ? '' : ` (${operation.kind}, asked for by ${operation.requestedBy}: ${reason ?? '?'})`;
  return `${states[machine]} since ${time(machineSinceMs)}${why}.`;
}

const causes: Readonly<Record<AbsenceCause, string>> = {
  user: 'its user has disconnected',
  idle: 'its user was disconnected for being idle',
  network: 'the network has broken off',
  replaced: 'another client had taken its place',
  admin: 'an admin has disconnected its user',
  broker_restart: 'the broker was restarted',
  agent_lost: 'the agent was lost',
  unknown: 'the broker gives no reason',
  logoff: 'its user has logged off',
  unassigned: 'its broker has taken it from its user',
  deleted: 'its broker has deleted it',
  unused: 'nobody has come since it was announced, started or woken',
};

function presenceInWords({ presence, absence, doubtSinceMs }: Session): string {
  const idleSinceMs = idleSinceOf(presence);
  const connections = visibleConnections(presence).join(', ');
  switch (occupancy(presence)) {
    case 'present':
      return `A user is there (${connections})${idleSinceMs === null ? '' : `, idle since ${time(idleSinceMs)}`}.`;
    case 'empty':
      return absence === null
        ? 'Nobody is there.'
        : `Nobody is there since ${time(absence.sinceMs)}: ${causes[absence.cause]}.`;
    case 'unknown': {
      const since = doubtSinceMs === null ? '' : ` since ${time(doubtSinceMs)}`;
      return `It is not known${since} who is there, because ${doubtsInWords(doubtsOf(presence))}.`;
    }
  }
}

function nextOf(session: Session, pool: Pool, { draining }: Circumstances): Next {
  const { machine, operation, deadlineMs } = session;
  if (operation !== null) {
    return { what: operation.cancelRequested ? 'thaw' : operation.kind, when: 'worker', atMs: null };
  }
  if (draining?.stays === null) {
    const triedMs = machine === 'save-failed' ? (deadlineMs ?? Infinity) : Infinity;
    return { what: 'save', when: 'time', atMs: Math.min(draining.atMs, triedMs) };
  }
  switch (machine) {
    case 'grace': {
      // A storm may have come after the timer was set; the timer looks again when it fires.
      const plan = planFor(session, pool);
      return plan === null ? nothing : { what: plan.action, when: 'time', atMs: Math.max(plan.atMs, deadlineMs ?? 0) };
    }
    case 'save-failed':
      return { what: 'save', when: 'time', atMs: deadlineMs };
    case 'saved':
      return deadlineMs === null
        ? { what: 'restore', when: 'user', atMs: null }
        : { what: 'restore', when: 'time', atMs: deadlineMs };
    case 'off':
      return { what: 'boot', when: 'user', atMs: null };
    case 'restore-blocked':
      return { what: 'restore', when: 'operator', atMs: null };
    case 'quarantined':
      return { what: 'stop', when: 'operator', atMs: null };
    default:
      return nothing;
  }
}

const nothing: Next = { what: 'nothing', when: 'user', atMs: null };

const comings: Readonly<Record<Next['what'], string>> = {
  register: 'It is off once that is done',
  boot: 'It boots',
  save: 'It is saved',
  restore: 'It is woken',
  stop: 'It is stopped',
  thaw: 'Its save is being called off: it goes on',
  nothing: 'Nothing else is going to happen until somebody comes',
};

const fallsBack =
  'If it has written nothing to its disks by then it goes back to its checkpoint instead: nobody has used it since it was woken.';

const whens: Readonly<Record<Next['when'], string>> = {
  time: '',
  user: ' when a user comes',
  worker: ' as soon as its worker has done it',
  operator: ' when an operator asks for it',
};

/** What a desktop waits for that nothing is to be done with. */
const untils: Readonly<Record<Occupancy, string>> = {
  present: 'Nothing else is going to happen until its user leaves.',
  unknown: 'It runs on for as long as that is not known.',
  empty: `${comings.nothing}.`,
};

function nextInWords(
  { desktopId, presence }: Session,
  { what, when, atMs }: Next,
  { draining }: Circumstances,
): string {
  if (what === 'nothing') return untils[occupancy(presence)];
  if (what === 'register') return `${comings[what]}.`;
  if (what === 'stop' && when === 'operator')
    return `${comings[what]}${whens[when]}: \`dormouse desktop stop ${desktopId}\`.`;
  if (atMs === null) return `${comings[what]}${whens[when]}.`;
  if (what === 'save' && draining?.stays === null) return `${comings[what]} at ${time(atMs)}, whoever is there.`;
  const provided = what === 'restore' ? 'if its user is still there' : 'unless somebody comes';
  return `${comings[what]} at ${time(atMs)} ${provided}.`;
}

function hindrancesOf(session: Session, pool: Pool, circumstances: Circumstances): readonly Hindrance[] {
  return [
    ...conditionHindrance(circumstances),
    ...doubtHindrance(session),
    ...policyHindrance(session, pool),
    ...assignmentHindrance(session),
    ...errorHindrance(session),
    ...waitHindrance(circumstances),
    ...hostHindrance(session, circumstances),
    ...drainHindrance(session, circumstances),
    ...storageHindrance(session, circumstances),
  ];
}

function doubtHindrance({ desktopId, presence, machine }: Session): readonly Hindrance[] {
  if (occupancy(presence) !== 'unknown' || machine !== 'running') return [];
  const sentence = `No save begins before it is known that nobody is there; an admin who knows it has it saved by \`dormouse desktop save ${desktopId} --force\`.`;
  return [{ code: 'PRESENCE_UNKNOWN', sentence }];
}

const waitHindrances: Readonly<Record<Exclude<Wait, 'grace'>, (desktopId: string) => Hindrance>> = {
  settling: () => ({ code: 'SETTLING', sentence: 'It is waited whether a logoff belongs to the disconnect.' }),
  residency: () => ({
    code: 'RESIDENCY',
    sentence: 'It has been woken lately, and its pool wants it to stay up for a while.',
  }),
  storm: () => ({
    code: 'STORM',
    sentence: 'Too many have left at once: those desktops are let go one after the other.',
  }),
  hold: (desktopId) => ({
    code: 'DESKTOP_HELD',
    sentence: `It is held: \`dormouse desktop unhold ${desktopId}\` ends that.`,
  }),
};

function policyHindrance(session: Session, pool: Pool): readonly Hindrance[] {
  const { desktopId, machine, absence, presence, operation } = session;
  if (operation !== null || occupancy(presence) !== 'empty') return [];
  if (machine === 'running' && absence === null) {
    const sentence = `It was started by hand and waits for its first user for as long as it takes; \`dormouse desktop save ${desktopId}\` puts it to sleep.`;
    return [{ code: 'FIRST_USER', sentence }];
  }
  if (machine === 'running' && pool.policy.neverSave === true) {
    const sentence = `Its pool puts nothing to sleep (\`neverSave\`); an admin can: \`dormouse desktop save ${desktopId} --force\`.`;
    return [{ code: 'POLICY_FORBIDS', sentence }];
  }
  const wait = machine === 'grace' ? planFor(session, pool)?.wait : undefined;
  return wait === undefined || wait === 'grace' ? [] : [waitHindrances[wait](desktopId)];
}

/** A webhook throws nothing away: what is gone with a desktop is gone for good, so a person says so. */
function assignmentHindrance({ desktopId, presence }: Session): readonly Hindrance[] {
  if (assignmentIn(presence)?.kind !== 'deleted') return [];
  const sentence = `Its broker has deleted it: \`dormouse desktop delete ${desktopId}\` removes what is kept of it.`;
  return [{ code: 'BROKER_DELETED', sentence }];
}

function conditionHindrance({ condition }: Circumstances): readonly Hindrance[] {
  if (condition === null) return [];
  const about = condition.about === null ? '' : ` (${condition.about})`;
  const sentence = `${conditionsInWords[condition.kind]}${about}; since ${condition.since}.`;
  return [{ code: 'GUEST_CONDITION', sentence }];
}

function errorHindrance({ lastError, saveFailures, restoreFailures }: Session): readonly Hindrance[] {
  if (lastError === null) return [];
  const failures = Math.max(saveFailures, restoreFailures);
  const again = failures > 1 ? `, ${failures} times in a row` : '';
  return [{ code: lastError.code, sentence: `What went wrong last${again}: ${lastError.message}.` }];
}

function waitHindrance({ waitingFor }: Circumstances): readonly Hindrance[] {
  if (waitingFor === null) return [];
  const code = waitingFor.what === 'pool' ? 'POOL_FULL' : 'HOST_UNAVAILABLE';
  return [{ code, sentence: `It waits for ${waitingFor.inWords}.` }];
}

function hostHindrance(
  { operation, machine }: Session,
  { hostId, hostSilentSinceMs }: Circumstances,
): readonly Hindrance[] {
  if (hostSilentSinceMs === null || (operation === null && machineStates[machine].machine !== 'live')) return [];
  const what = operation === null ? 'whatever is to be done with the desktop' : `the ${operation.kind}`;
  const sentence = `Nothing has been heard of the worker of ${hostId} since ${time(hostSilentSinceMs)}: ${what} waits for it. Start it; if the host is off for good: \`dormouse host fence ${hostId}\`.`;
  return [{ code: 'HOST_UNAVAILABLE', sentence }];
}

function drainHindrance(
  { desktopId, saveFailures }: Session,
  { hostId, draining }: Circumstances,
): readonly Hindrance[] {
  if (draining === null) return [];
  const drained = `Its host ${hostId} is being drained`;
  const sentences: Readonly<Record<NonNullable<Draining['stays']>, string>> = {
    'its saves fail': `${drained}, and the drain no longer tries to save it: ${saveFailures} saves in a row have failed. \`dormouse desktop save ${desktopId}\` tries again.`,
    'no other host': `${drained}, and it stays there while its user may be there: no other host can take it.`,
  };
  const sentence = draining.stays === null ? `${drained}.` : sentences[draining.stays];
  return [{ code: 'DRAINING', sentence }];
}

function storageHindrance({ operation }: Session, { waitingForStorage }: Circumstances): readonly Hindrance[] {
  if (operation?.kind !== 'restore' || waitingForStorage === null) return [];
  const sentence = `Its memory waits for the storage, and so does its user whenever they touch what is missing; it is tried again all the time: ${waitingForStorage}.`;
  return [{ code: 'STORAGE_FAILED', sentence }];
}

/** Each says what is lost, and how it is consented to. */
const losses: Readonly<Record<Consent, (asOf: string) => string>> = {
  'own-checkpoint': (asOf) =>
    `Woken again from its own checkpoint of ${asOf}, it loses what was done since then, if anything was`,
  'older-checkpoint': (asOf) =>
    `Gone back to its checkpoint of ${asOf}, it loses what was done after that, in memory and on disk`,
  'cold-boot': (asOf) => `Booted from its disk as it was at ${asOf}, it loses what was only in its memory`,
};

const coldBootNow = 'Booted from its disk as its guest has left it, it loses what was only in its memory';

function choiceInWords({ desktopId }: Session, { to, asOfMs, failed }: Rung): string {
  const loses = asOfMs === null && to === 'cold-boot' ? coldBootNow : losses[to](time(asOfMs ?? 0));
  const inVain = failed ? '; it was tried and failed' : '';
  return `${loses}${inVain}: \`dormouse desktop consent ${desktopId} ${to}\`.`;
}

function time(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, 'Z');
}
