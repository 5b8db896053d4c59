import { newSession, nobody, parsePoolPolicy, planFor, type PoolPolicy, type Session } from '@dormouse/session';
import { figure, type Figure } from './figure';

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const yearFromMs = Date.parse('2030-01-01T00:00:00Z');
const plansInARun = 100_000;
const plansTogether = 200;

/** The policy that the README shows. */
const usual = {
  graceMs: 600_000,
  keepCheckpoints: 2,
  graceMsByReason: { idle: 60_000, network: 1_800_000 },
  schedule: {
    timeZone: 'Europe/Berlin',
    holidays: ['2030-12-25'],
    phases: [
      { name: 'night', days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '18:00', to: '08:00', graceMs: 60_000 },
      { name: 'free', days: ['sat', 'sun', 'holiday'], from: '00:00', to: '24:00', graceMs: 60_000 },
    ],
  },
  minResidencyMs: 300_000,
  logoff: { action: 'power-off' },
  storm: {},
};

/** As many phases, edges and holidays as a policy may have, and the longest graces: each period of a month is looked at. */
const largest = {
  graceMs: 30 * dayMs,
  keepCheckpoints: 2,
  schedule: {
    timeZone: 'America/New_York',
    holidays: Array.from({ length: 1_000 }, (_, day) => dateOf(yearFromMs + 2 * (day - 300) * dayMs)),
    phases: Array.from({ length: 64 }, (_, index) => ({
      name: `phase ${index}`,
      days: index % 2 === 0 ? ['mon', 'wed', 'fri', 'holiday'] : ['sun', 'tue', 'thu', 'sat'],
      from: timeOf(index * 11),
      to: timeOf(24 * 60 - 1 - index * 11),
      graceMs: 30 * dayMs,
    })),
  },
};

/** When a desktop is put away, decided for absences all over a year. Each decision has the policy as the ledger reads it: anew. */
export function measurePlans({ runs }: { runs: number }): readonly Figure[] {
  const usualText = JSON.stringify(parsePoolPolicy(usual));
  const largestText = JSON.stringify(parsePoolPolicy(largest));
  const perSecond: number[] = [];
  const largestMs: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    let spentMs = 0;
    for (let planned = 0; planned < plansInARun; planned += plansTogether) {
      const policies = Array.from({ length: plansTogether }, () => JSON.parse(usualText) as PoolPolicy);
      const startedMs = performance.now();
      policies.forEach((policy, index) => plan(policy, yearFromMs + ((planned + index) / plansInARun) * 365 * dayMs));
      spentMs += performance.now() - startedMs;
    }
    perSecond.push((plansInARun * 1_000) / spentMs);
    for (let month = 0; month < 12; month += 1) {
      const policy = JSON.parse(largestText) as PoolPolicy;
      const startedMs = performance.now();
      // At a time of which no plan has asked before, so that the time zone is looked up as well.
      plan(policy, yearFromMs + (run * 365 + month * 30) * dayMs);
      largestMs.push(performance.now() - startedMs);
    }
  }
  return [
    figure('plansPerSecond', '/s', perSecond, 0),
    figure('largestPlanMs', 'ms', largestMs, 2),
    figure('largestPlanWorstMs', 'ms', [Math.max(...largestMs)], 2),
  ];
}

function plan(policy: PoolPolicy, sinceMs: number): void {
  const registered = newSession({ desktopId: 'ada', generation: 0, requestedBy: 'bench' }, sinceMs);
  const session: Session = {
    ...registered,
    machine: 'running',
    operation: null,
    presence: nobody,
    absence: { sinceMs: Math.floor(sinceMs), cause: 'user' },
  };
  if (planFor(session, { policy, storms: [] }) === null) throw new Error('a desktop that nobody uses has a plan');
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function timeOf(minutes: number): string {
  return new Date(minutes * minuteMs).toISOString().slice(11, 16);
}
