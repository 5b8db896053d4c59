import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Accelerator } from '@dormouse/qemu';
import type { JsonObject } from '@dormouse/session';
import type { GuestClient } from '../guest';
import type { Desk } from './desk';
import { dropPageCache } from './page-cache';
import { eagerRestore, writeOwnStream } from './qemu-by-itself';
import type { RunningDormouse } from './running-dormouse';

/** One sleep and one wake, beside QEMU's own restore of the same state. Times in milliseconds. */
export interface Round {
  /** From the broker's webhook to the guest's answer, page cache dropped. */
  readonly ttrMs: number;
  /** From QEMU's start to the same answer, reading its own stream eagerly, page cache dropped. */
  readonly eagerMs: number;
  /** From the broker's webhook to the last page. */
  readonly hydratedMs: number;
  /** From the moment the guest stood still to its checkpoint being committed. */
  readonly frozenMs: number;
  /** From the migration's start to the moment the guest stood still. */
  readonly captureMs: number;
  readonly memoryBytes: number;
  /** Of memory that was not zero. */
  readonly contentBytes: number;
  readonly checkpointBytes: number;
  /** QEMU's own stream of the same state. */
  readonly streamBytes: number;
  readonly pageRequests: number;
  /** The larger of the save's and the restore's. */
  readonly pagerPeakRssBytes: number;
  /** The machine was gone while the desktop slept. */
  readonly memoryFreed: boolean;
  /** What the guest restored by QEMU itself holds. */
  readonly eagerNonce: string;
}

const pageBytes = 4096;

/**
 * The connected user of a running desktop leaves, it sleeps; QEMU restores the same state by itself, then the user
 * returns and it wakes. @returns what was seen, and a line to the guest that woke
 */
export async function sleepAndWake(
  dormouse: RunningDormouse,
  desk: Desk,
  { launchSpec, accelerator, say }: { launchSpec: JsonObject; accelerator: Accelerator; say: (step: string) => void },
): Promise<{ round: Round; guest: GuestClient }> {
  const { dataDir } = dormouse;
  const streamFile = join(dataDir, 'own-stream');
  const stream = await writeOwnStream(desk.runDirectory, streamFile);
  say(`for comparison QEMU has written its own stream: ${mebibytes(stream.bytes)} MiB`);

  say('the user leaves');
  await desk.broker('disconnected');
  await desk.until((desktop) => desktop.state === 'saved');
  const saved = (await desk.latest('save')).result as unknown as SaveFigures;
  const memoryFreed = (await desk.processes()).length === 0;
  const freed = memoryFreed ? 'QEMU is gone' : 'QEMU is NOT gone';
  say(
    `${desk.id} sleeps: ${mebibytes(saved.storedBytes)} MiB stored, the guest stood still for ${saved.frozenMs} ms, ${freed}`,
  );

  const sealedLayer = join(dataDir, 'disks', desk.id, `${(await desk.view()).diskGeneration}.0.qcow2`);
  const cold = (): Promise<void> => dropPageCache([join(dataDir, 'storage'), streamFile, join(dataDir, 'disks')]);
  const scratch = join(dataDir, 'eager');
  const disks = [sealedLayer];
  const eager = await eagerRestore({ scratch, launchSpec, accelerator, disks, beforeStart: cold }, stream);
  await rm(streamFile);
  say(`QEMU's own eager restore, cold: the guest answers after ${Math.round(eager.answeredMs)} ms`);

  await cold();
  const requestedMs = performance.now();
  const connecting = desk.broker('connect_requested');
  const guest = await desk.guest();
  await guest.ping({ timeoutMs: 120_000, retryMs: 20 });
  const ttrMs = performance.now() - requestedMs;
  await connecting;
  say(`the user returns: ${desk.id} answers after ${Math.round(ttrMs)} ms, cold`);
  await desk.broker('reconnected');
  await desk.until((desktop) => desktop.operation === null && desktop.state === 'running');
  const hydratedMs = performance.now() - requestedMs;
  const woken = (await desk.latest('restore')).result as unknown as WakeFigures;
  say(`all of its memory is back after ${Math.round(hydratedMs)} ms`);
  const round = {
    ttrMs: Math.round(ttrMs),
    eagerMs: Math.round(eager.answeredMs),
    hydratedMs: Math.round(hydratedMs),
    frozenMs: saved.frozenMs,
    captureMs: saved.captureMs,
    memoryBytes: saved.ramBytes,
    contentBytes: (saved.pages.total - saved.pages.zero) * pageBytes,
    checkpointBytes: saved.storedBytes,
    streamBytes: stream.bytes,
    pageRequests: woken.pageRequests,
    pagerPeakRssBytes: Math.max(saved.pagerPeakRssBytes, woken.pagerPeakRssBytes),
    memoryFreed,
    eagerNonce: eager.nonce,
  };
  return { round, guest };
}

/** The user leaves for good, and the desktop is powered off. */
export async function leaveAndStop(dormouse: RunningDormouse, desk: Desk, poolId: string): Promise<void> {
  await dormouse.api.putPool(poolId, { graceMs: 60_000, keepCheckpoints: 1 }); // no save is to come before the stop
  await desk.broker('disconnected');
  await dormouse.api.command(desk.id, 'stop', { reason: 'no longer needed' });
  await desk.until((desktop) => desktop.state === 'off');
}

/** What the worker records of a save and of a restore. */
interface SaveFigures {
  readonly frozenMs: number;
  readonly captureMs: number;
  readonly ramBytes: number;
  readonly pages: { readonly total: number; readonly zero: number };
  readonly storedBytes: number;
  readonly pagerPeakRssBytes: number;
}

interface WakeFigures {
  readonly pageRequests: number;
  readonly pagerPeakRssBytes: number;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
