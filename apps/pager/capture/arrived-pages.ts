/** Which pages of a guest have come at least once: QEMU sends those that change again, and they are no progress. */
export class ArrivedPages {
  private readonly bits: Uint8Array;
  private arrived = 0;

  constructor(pages: number) {
    this.bits = new Uint8Array(Math.ceil(pages / 8));
  }

  get count(): number {
    return this.arrived;
  }

  add(page: number): void {
    const mask = 1 << (page & 7);
    if ((this.bits[page >> 3]! & mask) !== 0) return;
    this.bits[page >> 3]! |= mask;
    this.arrived += 1;
  }
}
