/** Cuts what comes from a socket into lines, and keeps no more of one that has not ended than it may be long. */
export class Lines {
  private rest = '';

  /** @param longest characters of a line */
  constructor(private readonly longest: number) {}

  /** @returns the lines that are whole with this piece, or null when one is too long: nothing sensible speaks there */
  push(text: string): string[] | null {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop()!;
    if (this.rest.length > this.longest || lines.some((line) => line.length > this.longest)) return null;
    return lines;
  }
}
