import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '@dormouse/api-client';
import { isDormouseError } from '@dormouse/errors';
import type { DesktopView } from '@dormouse/views';
import type { Logger } from '@dormouse/observability';
import { machineStates } from '@dormouse/session';

export interface SettleOptions {
  readonly client: Pick<ApiClient, 'desktops' | 'command' | 'operation' | 'cancel'>;
  readonly logger: Logger;
  /** How long desktops may take to fall asleep before they are stopped. */
  readonly saveMs?: number;
  /** How long they may then take to stop. */
  readonly stopMs?: number;
  readonly pollMs?: number;
  /** Aborted: do not wait for saves any longer. */
  readonly hurry?: AbortSignal;
}

const reason = 'shutdown';

/**
 * A save or a stop that does not begin in this time is called off by the ledger: when this process is killed meanwhile, its desktops
 * run on, and at the next start their users are at work again. Shorter than the lease of a worker that dies with us.
 */
const validForSeconds = 10;

/**
 * Leaves no machine running: every desktop is put to sleep, its user present or not; one that cannot be is stopped.
 * Answers the ids of those that are still running in the end.
 */
export async function settleDesktops(options: SettleOptions): Promise<readonly string[]> {
  try {
    return await settle(options);
  } finally {
    await withdraw(options);
  }
}

/** Calls off what a launcher has asked for and nobody has begun: its reason has gone with the launcher. */
export async function withdraw({ client, logger }: Pick<SettleOptions, 'client' | 'logger'>): Promise<void> {
  for await (const { id, operation } of client.desktops()) {
    if (operation?.status !== 'pending' || operation.reason !== reason) continue;
    try {
      await client.cancel(operation.id, 'the shutdown it was asked for is over');
      logger.info(
        { desktopId: id },
        `the ${operation.kind} of ${id} was asked for by a shutdown that is over: called off`,
      );
    } catch (error) {
      // It has begun, or has ended, since it was looked at.
      if (!isDormouseError(error) || error.status !== 409) throw error;
    }
  }
}

async function settle(options: SettleOptions): Promise<readonly string[]> {
  const { client, logger, saveMs = 60_000, stopMs = 15_000, pollMs = 500, hurry } = options;
  const failed = new Set<string>();
  const saves = new Map<string, string>();
  let told = 0;
  await poll(saveMs, pollMs, hurry, async () => {
    const awake = (await restless(client)).filter(({ id }) => !failed.has(id));
    if (awake.length !== told) logger.info(`putting desktops to sleep: ${awake.length} to go`);
    told = awake.length;
    for (const desktop of awake) {
      // Whatever is under way comes first. One that lingers is only waited with: it joins a save that is forced.
      if (desktop.operation !== null && desktop.operation.phase !== 'linger') continue;
      if (saves.has(desktop.id) && (await hasFailed(client, saves.get(desktop.id)!))) {
        failed.add(desktop.id);
        continue;
      }
      const asked = await ask(options, desktop.id, 'save');
      if (asked !== null) saves.set(desktop.id, asked);
    }
    return awake.length === 0;
  });

  const left = await restless(client);
  if (left.length === 0) return [];
  const asked = new Set<string>();
  await poll(stopMs, pollMs, undefined, async () => {
    const awake = await restless(client);
    for (const { id, operation } of awake) {
      // A save or a wake that takes long is left to the next start: a stop by force would end it, and its memory.
      if (asked.has(id) || (operation !== null && operation.kind !== 'stop')) continue;
      logger.warn(
        { desktopId: id },
        `${id} could not be put to sleep and is stopped: what was only in its memory is lost`,
      );
      if ((await ask(options, id, 'stop')) !== null) asked.add(id);
    }
    return awake.length === 0;
  });
  return (await restless(client)).map(({ id }) => id);
}

/** Desktops that have a machine, or are about to. */
async function restless(client: SettleOptions['client']): Promise<DesktopView[]> {
  const found: DesktopView[] = [];
  for await (const desktop of client.desktops()) {
    if (machineStates[desktop.state].machine !== 'absent') found.push(desktop);
  }
  return found;
}

/** The operation's id, or null when the desktop's state does not allow it now. */
async function ask({ client, logger }: SettleOptions, id: string, command: 'save' | 'stop'): Promise<string | null> {
  try {
    return (await client.command(id, command, { reason, force: true, validForSeconds })).id;
  } catch (error) {
    if (!isDormouseError(error) || error.status !== 409) throw error;
    logger.debug({ desktopId: id, err: error }, `${id} does not take ${command} now`);
    return null;
  }
}

async function hasFailed(client: SettleOptions['client'], operationId: string): Promise<boolean> {
  return (await client.operation(operationId)).status === 'failed';
}

/** Until `done`, or time is up, or `signal` is aborted. */
async function poll(
  limitMs: number,
  pauseMs: number,
  signal: AbortSignal | undefined,
  done: () => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!signal?.aborted && performance.now() < deadline) {
    if (await done()) return;
    await sleep(pauseMs);
  }
}
