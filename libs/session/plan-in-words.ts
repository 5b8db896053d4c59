import { planFor, type Plan, type Wait } from './plan';
import { occupancy } from './presence';
import type { Question } from './rule';

const waitReasons: Readonly<Record<Wait, string>> = {
  grace: 'its user may come back',
  settling: 'a logoff may belong to it',
  residency: 'it has only just been woken',
  storm: 'too many have left at once',
  hold: 'it is held',
};

const ends: Readonly<Record<Plan['action'], string>> = { save: 'saved', stop: 'stopped' };

/** That it is put away, when, and what is waited for. */
export function waits({ session, pool, nowMs }: Question): string {
  const plan = planFor(session, pool);
  if (plan === null) return 'nobody is there';
  const seconds = Math.ceil(Math.max(0, plan.atMs - nowMs) / 1_000);
  return `nobody is there: the desktop is ${ends[plan.action]} in ${seconds} s unless somebody comes (${waitReasons[plan.wait]})`;
}

/** Why it is not put away. */
export function runsOn({ session, pool }: Question): string {
  switch (occupancy(session.presence)) {
    case 'present':
      return 'a user is there: the desktop runs';
    case 'unknown':
      return 'it is not certain who is there: the desktop runs, and no save begins';
    case 'empty':
      return pool.policy.neverSave === true && session.absence !== null
        ? 'nobody is there, and its pool puts nothing to sleep: the desktop runs'
        : 'the desktop runs and waits for its first user';
  }
}
