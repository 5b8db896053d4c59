import { randomBytes, randomUUID } from 'node:crypto';
import type { Capture, CheckpointTarget, Hypervisor, Machine } from '@dormouse/hypervisor';

/** Nobody calls these saves off. */
export const never = new AbortController().signal;

/** A checkpoint to be, with keys of its own. */
export function targetOf(): CheckpointTarget {
  const keys = { keyId: 'test', dataKey: randomBytes(32), contentKey: randomBytes(32) };
  return { operationId: 'save', checkpointId: randomUUID(), keys };
}

/** Stores all but the manifest; the guest stands still then. */
export async function freeze(
  hypervisor: Hypervisor,
  desktop: Machine,
): Promise<{ capture: Capture; target: CheckpointTarget }> {
  const target = targetOf();
  const base = { previousCheckpointId: null, keptGenerations: [] };
  const capture = await hypervisor.capture(desktop, target, { ...base, signal: never, onProgress: () => undefined });
  await capture.switchOver(never);
  return { capture, target };
}

/** Frees the machine's memory, which is in a checkpoint then. */
export async function save(hypervisor: Hypervisor, desktop: Machine): Promise<CheckpointTarget> {
  const { capture, target } = await freeze(hypervisor, desktop);
  await capture.commit(never);
  capture.close();
  await hypervisor.release(desktop.desktopId);
  return target;
}
