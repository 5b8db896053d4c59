import { occupancy, type Presence } from './presence';
import type { NumberRange } from './sequence-numbers';
import { isInDoubt, type SourcePresence } from './source-presence';

/** Why it is not certain who is at a desktop. */
export type Doubt = { readonly source: string; readonly brokerEpoch: string | null } & (
  | /** Its broker is not heard any more. */
    { readonly kind: 'silent' }
    /** Events are missing and may still come: from and to, each a sequence number, both inclusive. */
  | { readonly kind: 'missing'; readonly gaps: readonly NumberRange[] }
  /** Only a snapshot of the broker can tell: what it knew is lost with its last life, or too much is missing. */
  | { readonly kind: 'lost'; readonly afterEpoch: string | null }
);

/** None when it is certain, be it that somebody is there or that nobody is. */
export function doubtsOf(presence: Presence): readonly Doubt[] {
  return occupancy(presence) === 'unknown' ? presence.sources.filter(isInDoubt).map(doubtOf) : [];
}

function doubtOf({ source, epoch: brokerEpoch, pastEpochs, silent, lost, numbers }: SourcePresence): Doubt {
  if (silent === true) return { kind: 'silent', source, brokerEpoch };
  if (lost === null) return { kind: 'missing', source, brokerEpoch, gaps: numbers.missing };
  const afterEpoch = lost.why === 'epoch' ? (pastEpochs.at(-1) ?? null) : null;
  return { kind: 'lost', source, brokerEpoch, afterEpoch };
}

export function doubtsInWords(doubts: readonly Doubt[]): string {
  return doubts.map(doubtInWords).join('; and ');
}

function doubtInWords(doubt: Doubt): string {
  const broker = `the broker ${doubt.source}`;
  if (doubt.kind === 'silent') {
    return `${broker} has fallen silent; its next vdc.broker.heartbeat ends that, or its vdc.broker.snapshot for this desktop, or ${retiring(doubt)}`;
  }
  const epoch = doubt.brokerEpoch === null ? '' : ` of epoch ${doubt.brokerEpoch}`;
  if (doubt.kind === 'missing') {
    const { gaps } = doubt;
    const numbers = gaps.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(', ');
    const isOne = gaps.length === 1 && gaps[0]![0] === gaps[0]![1];
    return `${isOne ? `event ${numbers}${epoch} of ${broker} is` : `events ${numbers}${epoch} of ${broker} are`} missing; that ends when it sends what is missing, or vdc.broker.snapshot for this desktop, or with ${retiring(doubt)}`;
  }
  const why =
    doubt.afterEpoch === null
      ? `too many events of ${broker} are missing`
      : `${broker} has begun anew after epoch ${doubt.afterEpoch}`;
  return `${why}; its vdc.broker.snapshot for this desktop ends that, or ${retiring(doubt)}`;
}

function retiring({ source }: Doubt): string {
  return `\`dormouse broker retire ${source}\` if it is gone for good`;
}
