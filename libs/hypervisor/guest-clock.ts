import { GuestAgent, socketNames } from '@dormouse/qemu';
import type { RunDirectory } from './run-directory';

/** Its user has the guest already; only the end of the save waits. */
const patienceAfterThawMs = 1_000;

/**
 * Waits for the guest's agent and sets the guest's clock, which has stood still.
 * @returns how far it may be off now, in milliseconds
 * @throws GUEST_UNRESPONSIVE
 */
export async function setGuestClock(directory: RunDirectory, patienceMs: number): Promise<number> {
  const agent = await GuestAgent.connect(directory.socket(socketNames.agent));
  try {
    await agent.synchronise(patienceMs);
    return await agent.setClock(patienceMs);
  } finally {
    agent.close();
  }
}

/** A guest that stood still, perhaps for minutes, is behind. It runs again whether or not its agent can be told so. */
export async function setClockAfterThaw(directory: RunDirectory): Promise<void> {
  await setGuestClock(directory, patienceAfterThawMs).catch(() => undefined);
}
