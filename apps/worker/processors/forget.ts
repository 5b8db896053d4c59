import { isDormouseError } from '@dormouse/errors';
import { removeCondemned } from '../host/condemned-checkpoints';
import type { WorkerContext } from '../worker-context';

/** A deleted desktop: nothing of it stays, neither on the host nor in the store. */
export async function forget(context: WorkerContext, desktopId: string): Promise<void> {
  // Registered again before this job came, the directories are the new desktop's by now.
  if (!(await isRegistered(context, desktopId))) await context.hypervisor.forget(desktopId);
  await removeCondemned(context, desktopId);
}

async function isRegistered({ ledger }: WorkerContext, desktopId: string): Promise<boolean> {
  try {
    await ledger.viewDesktop(desktopId);
    return true;
  } catch (error) {
    if (isDormouseError(error, 'DESKTOP_UNKNOWN')) return false;
    throw error;
  }
}
