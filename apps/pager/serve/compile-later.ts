import { setFlagsFromString } from 'node:v8';

/** V8 considers optimizing a function whenever so many bytes of its code have been run (`--interrupt-budget`; V8 11.3). */
const usualBudget = 67_584;
const wakingBudget = 12 * usualBudget;

/**
 * Has the engine put off optimizing what becomes hot from now on. It does so on threads of its own, which take processors from QEMU and the
 * guest. What was optimized while the pager waited stays so.
 * @returns ends that
 */
export function compileLater(): () => void {
  setFlagsFromString(`--interrupt-budget=${wakingBudget}`);
  return () => setFlagsFromString(`--interrupt-budget=${usualBudget}`);
}
