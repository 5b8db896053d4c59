/** From and to, both inclusive. */
export type NumberRange = readonly [from: number, to: number];

/** Which events of one epoch have come. The numbers begin at 0 or at 1 and have no holes. */
export interface SequenceNumbers {
  /** The highest that has come; null before the first. */
  readonly last: number | null;
  /** Below `last`, still to come: until then it is not known what they say. In ascending order. */
  readonly missing: readonly NumberRange[];
  /** Below `last`, waited for no longer, and taken when they come after all. In ascending order. */
  readonly givenUp: readonly NumberRange[];
}

export const noNumbers: SequenceNumbers = { last: null, missing: [], givenUp: [] };

/** The numbers once this one has come; null when it had come before. */
export function counted(numbers: SequenceNumbers, number: number): SequenceNumbers | null {
  const { last, missing, givenUp } = numbers;
  if (last === null) {
    // Whether its source begins at 0 or at 1 shows when a 0 comes late: nobody has to wait for one.
    return { last: number, missing: range(1, number - 1), givenUp: number > 0 ? [[0, 0]] : [] };
  }
  if (number > last) return { last: number, missing: [...missing, ...range(last + 1, number - 1)], givenUp };
  if (holds(missing, number)) return { last, missing: without(missing, number), givenUp };
  if (holds(givenUp, number)) return { last, missing, givenUp: without(givenUp, number) };
  return null;
}

/** All up to this one, itself included, is known by other means. */
export function knownUpTo({ last, missing, givenUp }: SequenceNumbers, number: number): SequenceNumbers {
  const after = (ranges: readonly NumberRange[]) =>
    ranges.flatMap(([from, to]) => range(Math.max(from, number + 1), to));
  return { last: Math.max(last ?? 0, number), missing: after(missing), givenUp: after(givenUp) };
}

/** Nobody waits any longer for what is missing. */
export function missingGivenUp({ last, missing, givenUp }: SequenceNumbers, most: number): SequenceNumbers {
  const all = [...givenUp, ...missing].sort(([one], [other]) => one - other);
  return { last, missing: [], givenUp: all.slice(-most) };
}

function range(from: number, to: number): NumberRange[] {
  return from > to ? [] : [[from, to]];
}

function holds(ranges: readonly NumberRange[], number: number): boolean {
  return ranges.some(([from, to]) => from <= number && number <= to);
}

function without(ranges: readonly NumberRange[], number: number): NumberRange[] {
  return ranges.flatMap(([from, to]): NumberRange[] =>
    number < from || number > to ? [[from, to]] : [...range(from, number - 1), ...range(number + 1, to)],
  );
}
