import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const second = 1_000;
const hour = 3_600_000;
const day = 24 * hour;

/** By how much clocks are set wrong, both ways. */
export const clockSteps = {
  'a minute ahead': 60 * second,
  'a minute behind': -60 * second,
  'an hour ahead': hour,
  'an hour behind': -hour,
  'a day ahead': day,
  'a day behind': -day,
} as const;
export type ClockStep = keyof typeof clockSteps;
export const clockStepNames = Object.keys(clockSteps) as ClockStep[];

/** The environment of a program, and of those it starts, whose clocks `stepClock` sets in `directory`. */
export function withSteppedClock(directory: string): { NODE_OPTIONS: string; CLOCK_STEPS: string } {
  const preload = join(process.cwd(), 'dist', 'test', 'scenario', 'stepped-clock.js');
  return { NODE_OPTIONS: `--require=${preload}`, CLOCK_STEPS: directory };
}

/** @param program the folder that its script lies in */
export function stepClock(directory: string, program: string, aheadMs: number): void {
  mkdirSync(directory, { recursive: true });
  const draft = join(directory, `.${program}`);
  writeFileSync(draft, String(aheadMs));
  renameSync(draft, join(directory, program)); // it is read at any time
}
