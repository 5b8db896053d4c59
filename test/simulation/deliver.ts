import type { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SimulatedCloud } from './cloud';
import { shoot, shotOf } from './shot';

const retryMs = 250;
const giveUpAfterMs = 120_000;

/**
 * Sends an event until it is answered, as brokers do, to one api after the other.
 * @param first which api is asked first
 * @returns the answers to what was sent in vain, 0 where there was none @throws when it is never accepted
 */
export async function deliver(
  { apis, keys }: SimulatedCloud,
  agent: Agent,
  { webhookId, body, first = 0 }: { webhookId: string; body: string; first?: number },
): Promise<readonly number[]> {
  const giveUpAtMs = performance.now() + giveUpAfterMs;
  const inVain: number[] = [];
  for (let attempt = 0; ; attempt += 1) {
    const { url } = apis[(first + attempt) % apis.length]!;
    const status = await shoot(agent, url, shotOf(keys.webhookSecrets[0]!, webhookId, body)).catch(() => 0);
    if (status === 202) return inVain;
    inVain.push(status);
    if (performance.now() > giveUpAtMs) {
      throw new Error(`${webhookId} was never accepted; the last answer is ${status}`);
    }
    await sleep(retryMs);
  }
}
