import { occupancy, type Presence } from './presence';

/** Why it is not certain who is at a desktop. */
export type Doubt =
  /** Its broker is not heard any more. */
  | { readonly kind: 'silent'; readonly brokerEpoch: string | null }
  /** Events are missing and may still come: from and to, each a sequence number, both inclusive. */
  | {
      readonly kind: 'missing';
      readonly brokerEpoch: string | null;
      readonly gaps: readonly (readonly [number, number])[];
    }
  /** Only a snapshot of the broker can tell: what it knew is lost with its last life, or too much is missing. */
  | { readonly kind: 'lost'; readonly brokerEpoch: string | null; readonly afterEpoch: string | null };

export function doubtOf(presence: Presence): Doubt | null {
  if (occupancy(presence) !== 'unknown') return null;
  const { complete, brokerEpoch, pastEpochs, silent } = presence;
  if (silent === true) return { kind: 'silent', brokerEpoch };
  if (!complete) return { kind: 'lost', brokerEpoch, afterEpoch: pastEpochs.at(-1) ?? null };
  return { kind: 'missing', brokerEpoch, gaps: gapsIn(presence) };
}

export function doubtInWords(doubt: Doubt): string {
  if (doubt.kind === 'silent') {
    return 'its broker has fallen silent; that ends with its next vdc.broker.heartbeat, or vdc.broker.snapshot for this desktop';
  }
  const epoch = doubt.brokerEpoch === null ? '' : ` of epoch ${doubt.brokerEpoch}`;
  if (doubt.kind === 'missing') {
    const numbers = doubt.gaps.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(', ');
    const isOne = doubt.gaps.length === 1 && doubt.gaps[0]![0] === doubt.gaps[0]![1];
    return `${isOne ? `event ${numbers}${epoch} is` : `events ${numbers}${epoch} are`} missing; the broker sends what is missing again, or vdc.broker.snapshot`;
  }
  const why =
    doubt.afterEpoch === null
      ? 'too many events are missing'
      : `the broker has begun anew after epoch ${doubt.afterEpoch}`;
  return `${why}; only its vdc.broker.snapshot for this desktop tells who is there`;
}

function gapsIn({ sequence, ahead }: Presence): (readonly [number, number])[] {
  let last = sequence;
  return ahead.flatMap((waiting) => {
    const gap = last !== null && waiting.sequence > last + 1 ? [[last + 1, waiting.sequence - 1] as const] : [];
    last = waiting.sequence;
    return gap;
  });
}
