import type { Accelerator } from '@dormouse/qemu';
import {
  Desk,
  guestLaunchSpec,
  RunningDormouse,
  leaveAndStop,
  sleepAndWake,
  type MainJobOptions,
  type Round,
} from '../scenario';
import { figure, type Figure } from './figure';

const poolId = 'bench';

/** Sleeps and wakes one desktop `runs` times, each time beside QEMU's own restore of the same state. */
export async function measureMainJob(options: Required<MainJobOptions>, runs: number): Promise<Figure[]> {
  const { dataDir, image, memoryMiB, fillMiB, say, signal } = options;
  const dormouse = await RunningDormouse.start(dataDir);
  try {
    const desk = new Desk(dormouse, 'bench');
    const launchSpec = guestLaunchSpec(image, memoryMiB);
    const accelerator = (await dormouse.api.hosts())[0]!.capabilities['accelerator'] as Accelerator;
    await dormouse.api.putPool(poolId, { graceMs: 100, keepCheckpoints: 1 });
    await desk.register(launchSpec, poolId);
    await desk.start();
    const first = await desk.guest();
    await first.ping({ timeoutMs: 120_000 });
    await desk.broker('connected');
    await first.fill(fillMiB);
    first.close();
    const rounds: Round[] = [];
    while (rounds.length < runs) {
      signal.throwIfAborted();
      const { round, guest } = await sleepAndWake(dormouse, desk, { launchSpec, accelerator, say: () => undefined });
      guest.close();
      rounds.push(round);
      say(
        `run ${rounds.length}: answers after ${round.ttrMs} ms, eager ${round.eagerMs} ms, frozen ${round.frozenMs} ms`,
      );
    }
    await leaveAndStop(dormouse, desk, poolId);
    return summarize(rounds);
  } finally {
    await dormouse.stop();
  }
}

function summarize(rounds: readonly Round[]): Figure[] {
  const of = (name: string, unit: string, value: (round: Round) => number, digits = 0): Figure =>
    figure(name, unit, rounds.map(value), digits);
  return [
    of('ttrMs', 'ms', (round) => round.ttrMs),
    of('eagerMs', 'ms', (round) => round.eagerMs),
    of('ttrToEager', '', (round) => round.ttrMs / round.eagerMs, 2),
    of('hydratedMs', 'ms', (round) => round.hydratedMs),
    of('frozenMs', 'ms', (round) => round.frozenMs),
    of('captureMs', 'ms', (round) => round.captureMs),
    of('captureMBPerSecond', 'MB/s', (round) => round.contentBytes / 1_000 / round.captureMs),
    of('pageRequests', '', (round) => round.pageRequests),
    of('pagerPeakRssMiB', 'MiB', (round) => round.pagerPeakRssBytes / 2 ** 20),
    of('checkpointMiB', 'MiB', (round) => round.checkpointBytes / 2 ** 20),
    of('streamMiB', 'MiB', (round) => round.streamBytes / 2 ** 20),
    of('memoryMiB', 'MiB', (round) => round.memoryBytes / 2 ** 20),
  ];
}
