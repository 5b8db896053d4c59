import { disconnectReasons, type DesktopEvent, type DisconnectReason } from './broker-events';
import { operationKindNames, type OperationKind } from './operations';

/** Brokers: one numbers its events, one gives them times as well, one gives them times alone. */
export const sources = ['numbers', 'both', 'times'] as const;
export type Source = (typeof sources)[number];

/** One thing that happens in the world around a session, for tests by random sequences. */
export type Happening =
  | {
      readonly do: 'broker';
      readonly source: Source;
      readonly type: DesktopEvent['type'];
      readonly connection: string;
      readonly reason: DisconnectReason;
      /** How many events overtake it. */
      readonly late: number;
      readonly lost: boolean;
      /** Told again later, when others have been told. */
      readonly twice: boolean;
      readonly restart: boolean;
    }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'timer' }
  | {
      readonly do: 'request';
      readonly kind: OperationKind;
      readonly force: boolean;
      readonly fresh: boolean;
      readonly checkpoint: 'own' | 'other' | null;
    }
  | { readonly do: 'cancel' }
  | { readonly do: 'hold'; readonly ms: number | null }
  | { readonly do: 'policy'; readonly index: number }
  | { readonly do: 'storm' }
  /** A broker falls silent, or is heard again. */
  | { readonly do: 'silence'; readonly source: Source; readonly ends: boolean }
  /** A broker is gone for good, and an operator says so. Should it come back, it begins anew. */
  | { readonly do: 'retire'; readonly source: Source }
  /** Who may speak of the desktop, from the beginning on. */
  | { readonly do: 'brokers'; readonly who: 'any' | 'first' | 'assigned' }
  /** An operator says whose the desktop is. */
  | { readonly do: 'name'; readonly source: Source | null }
  | { readonly do: 'work'; readonly outcome: 'succeeds' | 'fails' | 'gives up' }
  | { readonly do: 'stale report' }
  | { readonly do: 'crash' }
  | { readonly do: 'census' };

/** As often as they stand here: most of what a broker tells is of people who come and go. */
const eventTypes: readonly DesktopEvent['type'][] = [
  ...manyTimes(3, 'vdc.session.connected', 'vdc.session.reconnected', 'vdc.session.connect_requested'),
  ...manyTimes(6, 'vdc.session.disconnected'),
  ...manyTimes(3, 'vdc.session.logged_on', 'vdc.session.logged_off', 'vdc.session.idle', 'vdc.broker.snapshot'),
  'vdc.session.active',
  'vdc.desktop.assigned',
  'vdc.desktop.assigned',
  'vdc.desktop.unassigned',
  'vdc.desktop.deleted',
];

function manyTimes(times: number, ...types: DesktopEvent['type'][]): DesktopEvent['type'][] {
  return Array.from({ length: times }, () => types).flat();
}

export const policies = 5;

/** The same for the same seed. */
export function happeningsOf(seed: number): readonly Happening[] {
  const dice = new Dice(seed);
  const policy = { do: 'policy', index: dice.below(policies) } as const;
  const brokers = { do: 'brokers', who: dice.of(['any', 'any', 'first', 'assigned'] as const) } as const;
  return [brokers, policy, ...Array.from({ length: 5 + dice.below(dice.of([60, 60, 300])) }, () => happening(dice))];
}

function happening(dice: Dice): Happening {
  const roll = dice.below(100);
  if (roll < 22) return brokerHappening(dice);
  if (roll < 34) return { do: 'wait', ms: dice.of([1_000, 4_000, 11_000, 70_000]) };
  if (roll < 50) return { do: 'timer' };
  if (roll < 55) return requestHappening(dice);
  if (roll < 57) return { do: 'cancel' };
  if (roll < 59) return { do: 'hold', ms: dice.of([null, 5_000, 60_000]) };
  if (roll < 61) return { do: 'policy', index: dice.below(policies) };
  if (roll < 62) return rareHappening(dice);
  if (roll < 63) return { do: 'stale report' };
  if (roll < 64) return { do: 'crash' };
  if (roll < 66) return { do: 'census' };
  return {
    do: 'work',
    outcome: dice.of(['succeeds', 'succeeds', 'succeeds', 'succeeds', 'succeeds', 'succeeds', 'fails', 'gives up']),
  };
}

function rareHappening(dice: Dice): Happening {
  const roll = dice.below(12);
  if (roll < 6) return { do: 'storm' };
  if (roll < 7) return { do: 'retire', source: dice.of(sources) };
  if (roll < 8) return { do: 'name', source: dice.of([...sources, null]) };
  return { do: 'silence', source: dice.of(oftenOne), ends: dice.below(3) > 0 };
}

/** Mostly one broker speaks of a desktop. */
const oftenOne: readonly Source[] = ['numbers', 'numbers', 'numbers', 'numbers', 'numbers', 'both', 'times'];

function brokerHappening(dice: Dice): Happening {
  return {
    do: 'broker',
    source: dice.of(oftenOne),
    type: dice.of(eventTypes),
    connection: dice.of(['a', 'b']),
    reason: dice.of(disconnectReasons),
    late: dice.below(3),
    lost: dice.below(120) === 0,
    twice: dice.below(10) === 0,
    restart: dice.below(160) === 0,
  };
}

function requestHappening(dice: Dice): Happening {
  return {
    do: 'request',
    kind: dice.of(operationKindNames),
    force: dice.below(2) === 0,
    fresh: dice.below(2) === 0,
    checkpoint: dice.of([null, 'own', 'other']),
  };
}

/** Mulberry32: small, quick, and good enough to throw dice with. */
class Dice {
  constructor(private state: number) {}

  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}
