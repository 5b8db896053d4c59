/** Both halves of the young objects' memory (`--max-semi-space-size`) and a little more. */
const wholeBytes = 10 * 1024 * 1024;
/** More than a MB for each second, and no more than five seconds apart. */
const stayingWarm = { everyMs: 4_000, bytes: 5 * 1024 * 1024 };
const objectBytes = 1024;

/**
 * Keeps the memory of young objects for as long as nobody has work, by making a few and dropping them, a millisecond's work. Otherwise the engine
 * gives half of it back with every collection when less than a MB of them was made in each of the last seconds (V8:
 * `Heap::ReduceNewSpaceSize`), and a wake would have to have the system give it anew, a thousand pages every few milliseconds.
 */
export function keepYoungMemory(signal: AbortSignal): void {
  makeYoungObjects(wholeBytes);
  const timer = setInterval(() => makeYoungObjects(stayingWarm.bytes), stayingWarm.everyMs).unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}

function makeYoungObjects(bytes: number): void {
  const kept: unknown[] = [null];
  for (let made = 0; made < bytes; made += objectBytes) kept[0] = new Array(objectBytes / 8).fill(made);
}
