import { GuestAgent, socketNames, type LaunchSpec } from '@dormouse/qemu';
import { withQemu } from './qemu-process';
import { rouse } from './rouse-guest';
import type { RunDirectory } from './run-directory';

/** For an agent to answer; one that is silent is not waited for, since there is the power button. */
const agentPatienceMs = 2_000;

/** By its agent, else by the power button. @returns false for a guest that stands still and can do nothing */
export async function askToShutDown(directory: RunDirectory, { readiness }: LaunchSpec): Promise<boolean> {
  const runs = await withQemu(directory, async (qmp) => {
    await rouse(qmp);
    return (await qmp.execute<{ running: boolean }>('query-status')).running;
  });
  if (!runs) return false;
  if (readiness === 'agent' && (await byAgent(directory))) return true;
  await withQemu(directory, (qmp) => qmp.execute('system_powerdown'));
  return true;
}

async function byAgent(directory: RunDirectory): Promise<boolean> {
  try {
    const agent = await GuestAgent.connect(directory.socket(socketNames.agent));
    try {
      await agent.synchronise(agentPatienceMs);
      await agent.shutDown();
      return true;
    } finally {
      agent.close();
    }
  } catch {
    return false; // silent, not willing, or somebody else has its channel: there is the button
  }
}
