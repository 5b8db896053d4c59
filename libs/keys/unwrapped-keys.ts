interface Remembered {
  readonly key: Buffer;
  readonly timer: NodeJS.Timeout;
}

/** Keys in memory for a bounded time; then their bytes are overwritten. Takes and gives copies. */
export class UnwrappedKeys {
  private readonly keys = new Map<string, Remembered>();

  constructor(private readonly rememberedMs: number) {}

  find(id: string): Buffer | null {
    const known = this.keys.get(id);
    return known === undefined ? null : Buffer.from(known.key);
  }

  remember(id: string, key: Buffer): void {
    this.forget(id);
    const timer = setTimeout(() => this.forget(id), this.rememberedMs).unref();
    this.keys.set(id, { key: Buffer.from(key), timer });
  }

  private forget(id: string): void {
    const known = this.keys.get(id);
    if (known === undefined) return;
    clearTimeout(known.timer);
    known.key.fill(0);
    this.keys.delete(id);
  }
}
