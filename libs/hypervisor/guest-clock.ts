import { limits } from '@dormouse/limits';
import { GuestAgent, socketNames } from '@dormouse/qemu';
import type { RunDirectory } from './run-directory';

/**
 * Waits for the agent of a guest that was woken, has it write to its disks again if somebody had frozen them, and sets its clock,
 * which has stood still.
 * @returns how far the clock may be off now, in milliseconds
 * @throws GUEST_UNRESPONSIVE, also when aborted
 */
export async function greetGuest(directory: RunDirectory, patienceMs: number, signal: AbortSignal): Promise<number> {
  const agent = await GuestAgent.connect(directory.socket(socketNames.agent));
  const close = (): void => agent.close();
  signal.addEventListener('abort', close);
  if (signal.aborted) close();
  try {
    await agent.synchronise(patienceMs);
    await agent.thawFileSystems(limits.agentAnswer.ms);
    return await agent.setClock(limits.agentAnswer.ms);
  } finally {
    signal.removeEventListener('abort', close);
    agent.close();
  }
}

async function setGuestClock(directory: RunDirectory, patienceMs: number): Promise<number> {
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
  await setGuestClock(directory, limits.agentAfterThaw.ms).catch(() => undefined);
}
