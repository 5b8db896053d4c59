/** One measured quantity over several runs. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** Of how many values. */
  readonly count: number;
}

export function figure(name: string, unit: string, values: readonly number[], digits: number): Figure {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  const rounded = (value: number): number => Number(value.toFixed(digits));
  const [least, most] = [sorted[0]!, sorted.at(-1)!].map(rounded) as [number, number];
  return { name, unit, median: rounded(median), least, most, count: values.length };
}
