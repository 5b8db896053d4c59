import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { claimDataDirectory, dataPaths, usableDirectory, type ServiceConfig } from '@dormouse/config';
import { moveContentIndexes } from '@dormouse/content-index';
import { isDormouseError, type DormouseError } from '@dormouse/errors';
import { makeDirectory } from '@dormouse/files';
import { LayerCollector, StoreCollector } from '@dormouse/garbage';
import { QemuHypervisor, type Hypervisor } from '@dormouse/hypervisor';
import {
  backgroundQueue,
  BrokerWatch,
  checkEvictionPolicy,
  connectRedis,
  hostQueue,
  JobConsumer,
  OutboxDispatcher,
  redisWasLost,
  Reconciler,
  RetentionSweep,
  sessionQueue,
  StormWatch,
} from '@dormouse/jobs';
import { KeyRing, openKeyProvider } from '@dormouse/keys';
import { LedgerKeys, OnlyOne, SessionLedger } from '@dormouse/ledger';
import { within } from '@dormouse/limits';
import { countStep, type Logger, type Metrics } from '@dormouse/observability';
import { openDatabase, runMigrations } from '@dormouse/persistence';
import { directoryIdentity } from '@dormouse/storage';
import type { DataSource } from 'typeorm';
import { GarbageRounds } from './host/garbage-rounds';
import { GuestConditions } from './host/guest-conditions';
import { HostAnnouncer } from './host/host-announcer';
import { hostProof } from './host/host-proof';
import { HostWatch } from './host/host-watch';
import { ImageIndexer } from './host/image-indexer';
import { MetricsServer } from './host/metrics-server';
import { MachineCensus } from './host/machine-census';
import { openStorage } from './host/open-storage';
import { Leases } from './leases';
import { backgroundHandlers, hostHandlers, sessionHandlers } from './processors';
import type { WorkerContext } from './worker-context';

/**
 * Jobs at the same time; how many of them may be at work is said by the slots, which all workers of the host share. A guest
 * whose memory is coming has a job and no slot: as many as the host has machines.
 */
const hostConcurrency = 256;
const sessionConcurrency = 16;
/** Short steps may finish; then long ones are left to the next worker. */
const shutdownPatienceMs = 2_000;

const qemuImg = 'qemu-img';
const pagerProgram = join(__dirname, '..', 'pager', 'main.js');

export interface WorkerOptions {
  /** What its machines are driven by. Default: QEMU. */
  readonly drive?: (config: ServiceConfig) => Hypervisor;
  /** Connections to Postgres, at most; three are for those who see to a duty. */
  readonly poolSize?: number;
}

export interface RunningWorker {
  /** Of this worker, for Prometheus. */
  readonly metricsUrl: string;
  /** Resolves when this worker may not speak for its host any more. What it runs is left as it is. */
  readonly lost: Promise<DormouseError>;
  stop(): Promise<void>;
}

/**
 * Looks at the host, connects, and takes jobs.
 * @throws DIRECTORY_UNUSABLE, STORAGE_DIFFERS, STORAGE_FAILED for a directory, HOST_ID_TAKEN, DATA_DIRECTORY_CLAIMED, QEMU_MISSING, QEMU_TOO_OLD, QEMU_USER_UNUSABLE, USERFAULTFD_DENIED, KEY_REJECTED, KEY_UNAVAILABLE for a key file: better no worker than one that fails at nine in the morning
 */
export async function startWorker(
  config: ServiceConfig,
  logger: Logger,
  metrics: Metrics,
  { drive = qemuOf, poolSize = 10 }: WorkerOptions = {},
): Promise<RunningWorker> {
  const { directoryId } = await claimDataDirectory(config.dataDir, config.hostId);
  const proof = await hostProof(config.dataDir, directoryId);
  await makeDirectory(dataPaths(config.dataDir).keysDir);
  const runRoot = runRootOf(config);
  await usableDirectory(runRoot, 'the run directory', 'DATA_DIR');
  const diskRoot = config.disksDir;
  await within('directoryLook', usableDirectory(diskRoot, 'the directory of disk layers', 'DISKS_DIR'));
  await moveContentIndexes(diskRoot);
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (let step = stops.pop(); step !== undefined; step = stops.pop()) await step();
  };
  try {
    let connected: Promise<DataSource> | null = null;
    const database = (): Promise<DataSource> => (connected ??= connect(config.databaseUrl, poolSize, stops));
    const hypervisor = drive(config);
    stops.push(() => hypervisor.close());
    const found = await hypervisor.probe();
    const isFirstKey = async (): Promise<boolean> => new LedgerKeys(await database()).isEmpty();
    const keyProvider = await openKeyProvider(config, isFirstKey);
    const dataSource = await database();
    const dispatcher = new OutboxDispatcher({ dataSource, redis: config.redisUrl, log: logger });
    const ledger = new SessionLedger(dataSource, {
      host: { id: config.hostId, proof },
      onOutbox: () => dispatcher.nudge(),
      onStep: (step) => countStep(metrics, step),
    });
    const { store, identity } = await openStorage({ ...config, ledger, logger });
    stops.push(() => store.close());
    const capabilities = {
      ...found,
      memoryMiB: config.hostMemoryMiB ?? found.memoryMiB,
      disks: await directoryIdentity(diskRoot),
      storage: identity,
      slots: { ...config.hostSlots },
      storageSlots: { ...config.storageSlots },
    };
    logger.info({ hostId: config.hostId, ...capabilities }, `this host runs guests with ${capabilities.accelerator}`);

    const redis = connectRedis(config.redisUrl, logger);
    stops.push(() => Promise.resolve(redis.disconnect()));
    const keys = new KeyRing(keyProvider, new LedgerKeys(dataSource));
    await tryKeys(keys, logger);
    dispatcher.start();
    stops.push(() => dispatcher.stop());
    const reconciler = new Reconciler({ ledger, log: logger, metrics, redisWasLost: () => redisWasLost(redis) });
    reconciler.start();
    stops.push(() => reconciler.stop());
    const retention = new RetentionSweep({ ledger, log: logger });
    retention.start();
    stops.push(() => retention.stop());
    const storms = new StormWatch({ ledger, log: logger });
    storms.start();
    stops.push(() => storms.stop());
    const brokers = new BrokerWatch({ ledger, log: logger });
    brokers.start();
    stops.push(() => brokers.stop());

    const workerId = `${config.hostId}/${process.pid}/${randomUUID().slice(0, 8)}`;
    const images = new ImageIndexer(diskRoot, keys, logger);
    stops.push(() => images.stop());
    const leases = new Leases(ledger, workerId, logger);
    leases.start();
    stops.push(() => Promise.resolve(leases.stop()));
    const stopping = new AbortController();
    const collecting = {
      store,
      ledger,
      graceMs: config.garbageGraceMs,
      signal: stopping.signal,
    };
    const garbage = new GarbageRounds({
      objects: new StoreCollector(collecting),
      layers: new LayerCollector({
        ...collecting,
        hostId: config.hostId,
        disksDir: diskRoot,
        runRoot,
        qemuImg,
        forget: (desktopId) => hypervisor.forget(desktopId),
      }),
      duty: new OnlyOne(dataSource, 'collect the storage'),
      hostDuty: new OnlyOne(dataSource, 'collect the layers', config.hostId),
      graceMs: config.garbageGraceMs,
      stopping,
      logger,
    });
    stops.push(() => garbage.stop());
    const context: WorkerContext = {
      hostId: config.hostId,
      workerId,
      ledger,
      hypervisor,
      store,
      keys,
      images,
      garbage,
      leases,
      logger,
      metrics,
    };

    const metricsServer = new MetricsServer(context);
    const metricsUrl = await metricsServer.start({ host: config.metricsHost, port: config.metricsPort });
    stops.push(() => metricsServer.stop());
    logger.info({ metricsUrl }, 'metrics are served');

    const watch = new HostWatch({ store, keys, disksDir: diskRoot, runRoot, logger, metrics });
    stops.push(() => Promise.resolve(watch.stop()));
    await watch.start();
    const announcer = new HostAnnouncer(context, capabilities, watch);
    await announcer.start();
    stops.push(() => Promise.resolve(announcer.stop()));
    const guests = new GuestConditions(context);
    guests.start();
    stops.push(() => guests.stop());
    const census = new MachineCensus(context);
    await census.start();
    stops.push(() => census.stop());
    garbage.start();

    const common = { redis: config.redisUrl, log: logger };
    const consumers = [
      new JobConsumer({
        ...common,
        queue: hostQueue(config.hostId),
        handlers: hostHandlers(context),
        concurrency: hostConcurrency,
      }),
      new JobConsumer({
        ...common,
        queue: backgroundQueue(config.hostId),
        handlers: backgroundHandlers(context),
        concurrency: config.hostSlots.save,
      }),
      new JobConsumer({
        ...common,
        queue: sessionQueue,
        handlers: sessionHandlers(context),
        concurrency: sessionConcurrency,
      }),
    ];
    for (const consumer of consumers) consumer.start();
    stops.push(() => Promise.all(consumers.map((consumer) => consumer.close({ patienceMs: shutdownPatienceMs }))));
    await checkEvictionPolicy(redis);
    return { metricsUrl, lost: announcer.lost, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function connect(url: string, poolSize: number, stops: (() => Promise<unknown>)[]): Promise<DataSource> {
  const dataSource = await openDatabase(url, { applicationName: 'dormouse-worker', poolSize });
  stops.push(() => dataSource.destroy());
  await runMigrations(dataSource);
  return dataSource;
}

function qemuOf(config: ServiceConfig): QemuHypervisor {
  return new QemuHypervisor({
    qemu: config.qemuBinary,
    qemuImg,
    accelerator: config.accelerator,
    runRoot: runRootOf(config),
    diskRoot: config.disksDir,
    qemuUser: config.qemuUser,
    imageDirs: config.imageDirs,
    storageUrl: config.storageUrl,
    machinesInWaiting: config.machinesInWaiting,
    wakeManner: config.wakeManner,
    saveLimits: config.saveLimits,
    pagerProgram,
  });
}

function runRootOf({ dataDir }: ServiceConfig): string {
  return join(dataDir, 'run');
}

/**
 * Asks for the key that every save and wake needs. A provider that does not answer now is waited for by those: guests that
 * run, and users who are at work, need no key. @throws KEY_REJECTED, CONFIG_INVALID: this provider will never do
 */
async function tryKeys(keys: KeyRing, logger: Logger): Promise<void> {
  try {
    await keys.contentKey();
  } catch (error) {
    if (!isDormouseError(error, 'KEY_UNAVAILABLE')) throw error;
    logger.error({ err: error }, `no desktop can be saved or woken yet: ${error.message}`);
  }
}
