/** Why a process is to end. */
export type StopReason = NodeJS.Signals | 'told by the launcher' | 'launcher gone';

/** What a terminal sends to the whole process group, and a service manager to all processes of a service. */
const stopSignals = ['SIGINT', 'SIGHUP', 'SIGTERM'] as const;

/** What a launcher says to its child on their IPC channel to end it. */
export const stopMessage = { stop: true } as const;

/**
 * Resolves when this process is to end. Alone it obeys signals. As a child of a launcher (it has an IPC channel) it
 * leaves them to the launcher, to whom they come as well and whose matter the order of stopping is, and obeys its word
 * or the end of the channel, which comes however the launcher died.
 */
export function untilStopped(): Promise<StopReason> {
  return new Promise((resolve) => {
    const isChild = process.send !== undefined;
    for (const signal of stopSignals) process.on(signal, isChild ? () => {} : resolve);
    if (!isChild) return;
    process.on('message', (message) => {
      if ((message as { stop?: unknown }).stop === true) resolve('told by the launcher');
    });
    process.once('disconnect', () => resolve('launcher gone'));
    if (!process.connected) resolve('launcher gone');
  });
}

/**
 * How long a process may take to stop; what is not over by then is cut off. Whoever stops us in good order waits ten
 * seconds. When the launcher is gone, so are the services it had started: there is nothing to wait for.
 */
export function stopPatienceMs(reason: StopReason): number {
  return reason === 'launcher gone' ? 2_000 : 8_000;
}
