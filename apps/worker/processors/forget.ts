import { DormouseError, isDormouseError } from '@dormouse/errors';
import { StoreCollector } from '@dormouse/garbage';
import type { WorkerContext } from '../worker-context';

/**
 * A deleted desktop: nothing of it stays, neither on the host nor in the store, and nobody is left for whom there would be a
 * grace. What does not succeed here, or is lost with the job, the collectors of garbage find.
 */
export async function forget(context: WorkerContext, desktopId: string): Promise<void> {
  // Registered again before this job came, the directories are the new desktop's by now.
  if (!(await isRegistered(context, desktopId))) await context.hypervisor.forget(desktopId);
  const { failures } = await new StoreCollector({ ...context, graceMs: 0 }).collect([desktopId]);
  const [failure] = failures;
  if (failure !== undefined) throw new DormouseError('STORAGE_FAILED', failure.message, { desktopId });
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
