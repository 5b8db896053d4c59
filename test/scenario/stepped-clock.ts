/**
 * Loaded before a program (`withSteppedClock`): its `Date` is ahead of the host's clock, or behind it, by what a file says, which may change
 * while it runs. What nobody can set stays as it is: timers, `performance.now()` and the times of files.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const lookEveryMs = 50;

/** The folder of the program says which of several it is: `api`, `worker`, `launcher`. */
const file = join(process.env['CLOCK_STEPS'] ?? '.', basename(dirname(process.argv[1] ?? '')));
const ofTheHost = Date.now;
let aheadMs = 0;

function look(): void {
  try {
    aheadMs = Number(readFileSync(file, 'utf8'));
  } catch {
    aheadMs = 0; // nobody has stepped it
  }
}

look();
setInterval(look, lookEveryMs).unref();

Date.now = () => ofTheHost() + aheadMs;
globalThis.Date = new Proxy(Date, {
  construct: (target, values: unknown[], newTarget) =>
    Reflect.construct(target, values.length === 0 ? [target.now()] : values, newTarget) as Date,
  apply: (target) => new target(target.now()).toString(),
});
