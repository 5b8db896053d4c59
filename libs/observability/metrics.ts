import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** The metrics that processes share, under one set of names. Times are in seconds, as Prometheus wants them. */
export interface Metrics {
  readonly registry: Registry;
  /** Webhooks by what came of them: applied, ignored, stale, duplicate, or the code of the refusal. */
  readonly webhooks: Counter<'outcome'>;
  /** Decisions by what asked for them (event type, command, deadline) and what came of it. */
  readonly decisions: Counter<'trigger' | 'outcome'>;
  /** Ended operations. */
  readonly operations: Counter<'kind' | 'outcome'>;
  readonly phaseSeconds: Histogram<'kind' | 'phase'>;
  /** From the request for an operation to its first worker. */
  readonly waitSeconds: Histogram<'kind'>;
  /** From the request for a wake to its running guest. */
  readonly wakeSeconds: Histogram;
  /** Of saves and wakes that succeeded: the guest's memory, and what of it was written to the storage. */
  readonly bytes: Counter<'kind' | 'what'>;
  /** Open operations of the host, whichever of its workers has them. */
  readonly openOperations: Gauge<'kind' | 'phase' | 'status'>;
  /** Slots of the host, and how many of them are taken. */
  readonly slots: Gauge<'slot'>;
  readonly slotsUsed: Gauge<'slot'>;
  /** Age of the oldest outbox row that is not yet in its queue; 0 when there is none. */
  readonly outboxLagSeconds: Gauge;
  readonly silentBrokers: Gauge;
  /** Guests of this host that do not simply run, and how often QEMU has said so. */
  readonly guestConditions: Gauge<'condition'>;
  readonly guestReports: Counter<'condition'>;
  /** 1: the worker has found that it cannot be used. */
  readonly hostTroubles: Gauge<'part'>;
  /** Of /readyz: 1 up, 0.5 degraded, 0 down. */
  readonly checks: Gauge<'check'>;
  readonly eventLoopStallSeconds: Histogram;
  /** What the reconciler has put right. */
  readonly repairs: Counter<'repair'>;
  /** Operations that a wait ended which took too long, by the row of docs/limits.md. */
  readonly timeLimits: Counter<'waited_for'>;
  /** Requests answered 429: of a key, a broker, or an address that shows neither. */
  readonly rateLimited: Counter<'kind'>;
}

const phaseBuckets = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300];
const stallBuckets = [0.2, 0.5, 1, 2, 5, 10, 30];

/** A registry of its own each time: two in one process (tests) do not meet. @param labels on every one of its metrics */
export function createMetrics(service: string, labels: Readonly<Record<string, string>> = {}): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service, ...labels });
  const registers = [registry];
  return {
    registry,
    webhooks: new Counter({
      name: 'dormouse_webhooks_total',
      help: 'Webhooks received, by outcome',
      labelNames: ['outcome'],
      registers,
    }),
    decisions: new Counter({
      name: 'dormouse_decisions_total',
      help: 'Decisions about desktops, by what asked for them and what came of it',
      labelNames: ['trigger', 'outcome'],
      registers,
    }),
    operations: new Counter({
      name: 'dormouse_operations_total',
      help: 'Ended operations, by kind and outcome',
      labelNames: ['kind', 'outcome'],
      registers,
    }),
    phaseSeconds: new Histogram({
      name: 'dormouse_operation_phase_seconds',
      help: 'How long the phases of operations take',
      labelNames: ['kind', 'phase'],
      buckets: phaseBuckets,
      registers,
    }),
    waitSeconds: new Histogram({
      name: 'dormouse_operation_wait_seconds',
      help: 'How long operations wait for their first worker',
      labelNames: ['kind'],
      buckets: phaseBuckets,
      registers,
    }),
    wakeSeconds: new Histogram({
      name: 'dormouse_wake_seconds',
      help: 'From the request for a wake to its running guest',
      buckets: phaseBuckets,
      registers,
    }),
    bytes: new Counter({
      name: 'dormouse_operation_bytes_total',
      help: 'Bytes of saves and wakes that succeeded: memory of guests, and what was written to the storage for it',
      labelNames: ['kind', 'what'],
      registers,
    }),
    openOperations: new Gauge({
      name: 'dormouse_host_operations',
      help: 'Open operations of this host, of all its workers',
      labelNames: ['kind', 'phase', 'status'],
      registers,
    }),
    slots: new Gauge({
      name: 'dormouse_host_slots',
      help: 'How many wakes and saves may be under way on this host at once',
      labelNames: ['slot'],
      registers,
    }),
    slotsUsed: new Gauge({
      name: 'dormouse_host_slots_used',
      help: 'How many are, of all its workers',
      labelNames: ['slot'],
      registers,
    }),
    outboxLagSeconds: new Gauge({
      name: 'dormouse_outbox_lag_seconds',
      help: 'Age of the oldest job that has not reached its queue',
      registers,
    }),
    silentBrokers: new Gauge({
      name: 'dormouse_silent_brokers',
      help: 'Brokers that send heartbeats no more',
      registers,
    }),
    repairs: new Counter({
      name: 'dormouse_repairs_total',
      help: 'What was found to be wrong and put right, by what it was',
      labelNames: ['repair'],
      registers,
    }),
    timeLimits: new Counter({
      name: 'dormouse_time_limits_total',
      help: 'Operations that failed because somebody did not do something in time, by what was waited for',
      labelNames: ['waited_for'],
      registers,
    }),
    guestConditions: new Gauge({
      name: 'dormouse_guests',
      help: 'Guests of this host that do not simply run, by what QEMU says of them: suspended, paused, io-error, panicked, failed, watchdog',
      labelNames: ['condition'],
      registers,
    }),
    guestReports: new Counter({
      name: 'dormouse_guest_reports_total',
      help: 'How often QEMU has said that a guest does not simply run, by what it said',
      labelNames: ['condition'],
      registers,
    }),
    hostTroubles: new Gauge({
      name: 'dormouse_host_trouble',
      help: 'What this host needs for its work and cannot use (1): storage, disks, run directory, keys',
      labelNames: ['part'],
      registers,
    }),
    checks: new Gauge({
      name: 'dormouse_check',
      help: 'What /readyz says of each thing that Dormouse needs: 1 up, 0.5 degraded, 0 down',
      labelNames: ['check'],
      registers,
    }),
    rateLimited: new Counter({
      name: 'dormouse_rate_limited_total',
      help: 'Requests refused because there were too many, by who sent them',
      labelNames: ['kind'],
      registers,
    }),
    eventLoopStallSeconds: new Histogram({
      name: 'dormouse_event_loop_stall_seconds',
      help: 'Times during which the process answered nothing',
      buckets: stallBuckets,
      registers,
    }),
  };
}

/** A phase of an operation is over, and with an outcome the operation too. */
export function countStep(
  { operations, phaseSeconds }: Pick<Metrics, 'operations' | 'phaseSeconds'>,
  { kind, phase, ms, outcome }: { kind: string; phase: string; ms: number; outcome: string | null },
): void {
  phaseSeconds.observe({ kind, phase }, ms / 1000);
  if (outcome !== null) operations.inc({ kind, outcome });
}

/** A process that has nothing to do wakes this often to measure how late it wakes. */
const eventLoopPrecisionMs = 100;

/** Adds memory, CPU and garbage collection of this process. Once per process. */
export function collectProcessMetrics({ registry }: Metrics): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: eventLoopPrecisionMs });
}
