import { QmpClient, socketNames, thawMachine } from '@dormouse/qemu';

/**
 * Brings the guest back when the worker that led its save has died: a frozen guest must not wait for a successor.
 * While a worker lives this is its business; QEMU serves one control connection only.
 */
export async function thawAlone(): Promise<void> {
  const qmp = await QmpClient.connect(socketNames.control);
  try {
    await thawMachine(qmp);
  } finally {
    qmp.close();
  }
}
