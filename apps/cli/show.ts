import type { WebhookAnswer } from '@dormouse/api-client';
import type {
  DesktopView,
  EtaView,
  KeyRotationView,
  KeyView,
  OperationView,
  PoolView,
  StormView,
} from '@dormouse/views';
import { facts, table } from './table';

/** What the views look like to a person. */
export function showDesktops(desktops: readonly DesktopView[], now: Date): string {
  return table(
    desktops,
    [
      { title: 'DESKTOP', text: ({ id }) => id },
      { title: 'STATE', text: ({ state }) => state },
      { title: 'FOR', text: ({ stateSince }) => ago(stateSince, now) },
      { title: 'USER', text: ({ presence }) => presence.occupancy },
      { title: 'POOL', text: ({ poolId }) => poolId },
      { title: 'HOST', text: ({ hostId }) => hostId ?? '-' },
      { title: 'UNDER WAY', text: ({ operation }) => (operation ? `${operation.kind}: ${operation.phase}` : '-') },
    ],
    'no desktops yet: `dormouse desktop put <id> <spec.json>` registers one',
  );
}

export function showDesktop(desktop: DesktopView, now: Date): string {
  const { presence, assignment, absence, hold, operation, condition, lastError } = desktop;
  return facts([
    ['desktop', desktop.id],
    ['state', `${desktop.state}, for ${ago(desktop.stateSince, now)}`],
    ['user', [presence.occupancy, ...presence.connections].join(' ')],
    ['idle since', presence.idleSince],
    ['broker', desktop.broker],
    ['belongs to', assignment && ownerInWords(assignment)],
    ['nobody since', absence && `${absence.since} (${absence.cause})`],
    ['grace until', desktop.graceDeadline],
    ['held until', hold && `${hold.until}, by ${hold.by}: ${hold.reason}`],
    [
      'under way',
      operation && `${operation.kind}: ${operation.phase} (${operation.status}), operation ${operation.id}`,
    ],
    [
      'guest',
      condition &&
        `${condition.kind}, for ${ago(condition.since, now)}${condition.about === null ? '' : `: ${condition.about}`}`,
    ],
    ['last error', lastError && `${lastError.code}: ${lastError.message}`],
    ['pool', desktop.poolId],
    ['host', desktop.hostId],
    ['checkpoint', desktop.checkpointId],
    ['launch spec', JSON.stringify(desktop.launchSpec)],
  ]);
}

function ownerInWords({ kind, userRef }: NonNullable<DesktopView['assignment']>): string {
  if (kind === 'deleted') return 'nobody: its broker has deleted it';
  return kind === 'unassigned' ? 'nobody' : (userRef ?? 'a user');
}

/** @param operation with what is to be expected of it, where that was asked for */
export function showOperation(operation: OperationView & { readonly eta?: EtaView | null }, now: Date): string {
  return facts([
    ['operation', operation.id],
    ['desktop', operation.desktopId],
    ['kind', operation.kind],
    ['status', operation.status],
    ['phase', `${operation.phase}, since ${ago(operation.phaseSince, now)}`],
    ['reason', operation.reason],
    ['asked by', operation.requestedBy],
    ['cancel asked', operation.cancelRequestedAt],
    ['took', operation.startedAt && operation.endedAt ? took(operation.startedAt, operation.endedAt) : null],
    ['moved', bytesMoved(operation.progress)],
    ['expected', operation.eta ? expectedInWords(operation.eta) : null],
    ['progress', Object.keys(operation.progress).length > 0 ? JSON.stringify(operation.progress) : null],
    ['result', operation.result && JSON.stringify(operation.result)],
    ['error', operation.error && `${operation.error.code}: ${operation.error.message}`],
  ]);
}

function bytesMoved({ doneBytes, totalBytes }: OperationView['progress']): string | null {
  if (typeof doneBytes !== 'number' || typeof totalBytes !== 'number') return null;
  const [done, total] = [doneBytes, totalBytes].map((bytes) => Math.round(bytes / 2 ** 20));
  return `${done} of ${total} MiB`;
}

function expectedInWords({ readyMs, doneMs, spread, learnedFrom, of }: EtaView): string | null {
  const rest = [
    ...(readyMs ? [`answers in about ${inSeconds(readyMs)}`] : []),
    ...(doneMs === null ? [] : [`done in about ${inSeconds(doneMs)}`]),
  ];
  if (rest.length === 0) return null;
  const between =
    spread === null || learnedFrom < 2
      ? ''
      : `, which took ${inSeconds(spread.leastMs)} to ${inSeconds(spread.mostMs)}`;
  const whose = of === 'pool' ? 'of other desktops of its pool' : 'before it';
  return `${rest.join(', ')} (${learnedFrom === 0 ? 'at its own pace' : `as ${learnedFrom} ${whose}${between}`})`;
}

function inSeconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

export function showOperations(operations: readonly OperationView[], now: Date): string {
  return table(
    operations,
    [
      { title: 'OPERATION', text: ({ id }) => id },
      { title: 'KIND', text: ({ kind }) => kind },
      { title: 'STATUS', text: ({ status }) => status },
      { title: 'PHASE', text: ({ phase }) => phase },
      { title: 'AGE', text: ({ createdAt }) => ago(createdAt, now) },
      { title: 'REASON', text: ({ reason }) => reason },
    ],
    'no operations yet',
  );
}

export function showPool({ id, policy, storms }: PoolView): string {
  return facts([
    ['pool', id],
    ...Object.entries(policy).map(([name, value]) => [name, inOneLine(value)] as const),
    ...storms.map((storm) => ['storm', stormInWords(storm)] as const),
  ]);
}

function inOneLine(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function stormInWords({ broker, cause, left, inUse, until, releasedUntil }: StormView): string {
  const whose = broker === null ? '' : ` of ${broker}`;
  const what =
    cause === 'broker_started' ? `${broker} has begun anew` : `${left} of ${inUse} desktops${whose} left at once`;
  return `${what}: none is put to sleep before ${until}, the last by ${releasedUntil}`;
}

export function showKeys(keys: readonly KeyView[], now: Date): string {
  return table(
    keys,
    [
      { title: 'SCOPE', text: ({ scope }) => scope },
      { title: 'KEY', text: ({ keyId }) => keyId },
      { title: 'AGE', text: ({ createdAt }) => ago(createdAt, now) },
      { title: 'WRAPPED BY', text: ({ kekId }) => kekId },
      { title: 'SINCE', text: ({ wrappedAt }) => ago(wrappedAt, now) },
    ],
    'no keys yet: they are made when a worker starts and when a desktop is first saved',
  );
}

export function showRotation({ kekId, rewrapped, remaining, rejected }: KeyRotationView): string {
  return [
    `${counted(rewrapped, 'key')} wrapped with ${kekId}; checkpoints were not touched`,
    ...(remaining > 0 ? [`${counted(remaining, 'key')} still wrapped otherwise: run it again with --rewrap-only`] : []),
    ...rejected.map(({ scope, message }) => `${scope} stays as it was: ${message}`),
  ].join('\n');
}

export function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

export function showAnswer({ outcome, desktop }: WebhookAnswer): string {
  const eta = desktop?.etaMs ? `, answers in about ${desktop.etaMs} ms` : '';
  return desktop === null ? outcome : `${outcome}; ${desktop.id} is ${desktop.machineState}${eta}`;
}

function took(from: string, to: string): string {
  return `${(Date.parse(to) - Date.parse(from)) / 1000} s`;
}

export function ago(since: string, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(since)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
