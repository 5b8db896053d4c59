import type { Pool } from './plan';
import { policyActor, type Session } from './session';

/**
 * Whether a desktop that is to be put away may go back to the checkpoint it was woken from, without a save, if it has written
 * nothing to its disks. A guest always writes to its memory: what tells is that nobody has been there. Who asks for a save
 * of their own gets one.
 */
export function mayFallBack({ untouched, checkpointed, operation }: Session, { policy }: Pool): boolean {
  const byItself =
    operation === null || (operation.requestedBy === policyActor && !operation.forced && operation.again === null);
  return policy.forgetUnused === true && untouched && checkpointed && byItself;
}
