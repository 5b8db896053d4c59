import { randomUUID } from 'node:crypto';
import { Decoder, Encoder } from '@toondepauw/node-zstd';
import { isDormouseError } from '@dormouse/errors';
import { putBlob, type BlobStore } from '@dormouse/storage';
import { corrupt } from './corruption';
import { CheckpointSecrets, type DataKey } from './encryption';
import { longestTracedRequests, mostStoredBytes } from './layout';
import { objectKeys } from './object-keys';
import type { CheckpointIdentity } from './object-keys';
import { readAtMost } from './read-objects';
import { decodeWords, encodeWords } from './word-list';

/** What one wake of a checkpoint has shown. Page numbers are those of the checkpoint. Times count from the guest's running. */
export interface WakeTrace {
  readonly operationId: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** From the pager's first step to the guest's running; null when another pager brought it that far and died. */
  readonly runningMs: number | null;
  readonly hydratedMs: number;
  /** By QEMU's own clock; null when it did not say. */
  readonly blocked: BlockedTime | null;
  /** Pages of the wake set that were sent without being asked for, in that order. */
  readonly ahead: Uint32Array;
  /** How many of these before the guest ran. */
  readonly beforeRunning: number;
  readonly requests: TracedRequests;
}

/** How long the processors of a guest waited for pages, in milliseconds. */
export interface BlockedTime {
  /** All of them at the same time. */
  readonly allMs: number;
  /** Each of them, together. */
  readonly eachMs: readonly number[];
}

/** What the guest asked for, in its order. */
export interface TracedRequests {
  readonly pages: Uint32Array;
  readonly atUs: Uint32Array;
  /** From the request to its answer in microseconds. */
  readonly stallUs: Uint32Array;
}

const encoder = new Encoder(1);
const decoder = new Decoder();
/** u32 bytes of the facts · u32 pages ahead · u32 of them before running · u32 requests */
const headBytes = 16;

/** Stores what a wake has shown, beside the checkpoint it woke. @throws the storage's own error */
export async function writeTrace(
  store: BlobStore,
  { desktopId, checkpointId }: CheckpointIdentity,
  dataKey: DataKey,
  trace: WakeTrace,
): Promise<void> {
  const id = randomUUID();
  const plaintext = await encoder.encode(encodeTrace(trace));
  const secrets = new CheckpointSecrets(dataKey, checkpointId);
  await putBlob(
    store,
    objectKeys(desktopId, checkpointId).trace(id),
    secrets.encryptObject('wakeTrace', [plaintext], id),
  );
}

/**
 * The last traces of a checkpoint's wakes, oldest first. One that has gone meanwhile is left out, and one that is larger than a trace
 * can be is not read: `onTooLarge` is told its key.
 * @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED naming the object; the storage's own error
 */
export async function readTraces(
  store: BlobStore,
  identity: CheckpointIdentity,
  dataKey: DataKey,
  about: {
    readonly pages: number;
    readonly most: number;
    readonly onTooLarge?: (key: string, bytes: number) => void;
  },
): Promise<WakeTrace[]> {
  const { trace: keyOf } = objectKeys(identity.desktopId, identity.checkpointId);
  const secrets = new CheckpointSecrets(dataKey, identity.checkpointId);
  const traces: WakeTrace[] = [];
  for (const id of await idsOf(store, identity, about)) {
    const object = keyOf(id);
    try {
      const encoded = await readAtMost(store, object, mostStoredBytes.wakeTrace);
      const compressed = secrets.decryptObject('wakeTrace', encoded, object, id);
      const plain = await decoder.decode(compressed).catch((cause: unknown) => {
        throw corrupt(object, 'it does not decompress', cause);
      });
      traces.push(decodeTrace(plain, about.pages, object));
    } catch (error) {
      if (!isDormouseError(error, 'STORAGE_OBJECT_MISSING')) throw error;
    }
  }
  return traces;
}

/** Oldest first. */
async function idsOf(
  store: BlobStore,
  { desktopId, checkpointId }: CheckpointIdentity,
  { most, onTooLarge }: Parameters<typeof readTraces>[3],
): Promise<string[]> {
  const { traces } = objectKeys(desktopId, checkpointId);
  const found: { id: string; atMs: number }[] = [];
  for await (const { key, bytes, modifiedAt } of store.list(traces)) {
    if (bytes > mostStoredBytes.wakeTrace) {
      onTooLarge?.(key, bytes);
      continue;
    }
    found.push({ id: key.slice(traces.length), atMs: modifiedAt.getTime() });
  }
  return found
    .sort((one, other) => one.atMs - other.atMs)
    .slice(-most)
    .map(({ id }) => id);
}

export function encodeTrace({ ahead, beforeRunning, requests, ...facts }: WakeTrace): Buffer {
  const json = Buffer.from(JSON.stringify(facts));
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(json.length, 0);
  head.writeUInt32LE(ahead.length, 4);
  head.writeUInt32LE(beforeRunning, 8);
  head.writeUInt32LE(requests.pages.length, 12);
  const lists = [ahead, requests.pages, requests.atUs, requests.stallUs];
  return Buffer.concat([head, json, ...lists.map(encodeWords)]);
}

/** @param pages of the guest's memory @throws CHECKPOINT_CORRUPT naming `object` */
export function decodeTrace(plain: Buffer, pages: number, object: string): WakeTrace {
  if (plain.length < headBytes) throw corrupt(object, 'it is cut off');
  const [jsonBytes, ahead, beforeRunning, requests] = [0, 4, 8, 12].map((at) => plain.readUInt32LE(at)) as Four;
  let at = headBytes + jsonBytes;
  if (requests > longestTracedRequests || at + (ahead + 3 * requests) * 4 !== plain.length || beforeRunning > ahead) {
    throw corrupt(object, 'its parts have other lengths');
  }
  const facts = factsIn(plain.subarray(headBytes, at), object);
  const list = (count: number): Uint32Array => decodeWords(plain.subarray(at, (at += count * 4)));
  const trace = {
    ...facts,
    ahead: list(ahead),
    beforeRunning,
    requests: { pages: list(requests), atUs: list(requests), stallUs: list(requests) },
  };
  if ([trace.ahead, trace.requests.pages].some((list) => list.some((page) => page >= pages))) {
    throw corrupt(object, 'it names a page that is not there');
  }
  return trace;
}

type Four = [number, number, number, number];
type Facts = Omit<WakeTrace, 'ahead' | 'beforeRunning' | 'requests'>;

function factsIn(json: Buffer, object: string): Facts {
  let value: Partial<Facts> | null;
  try {
    value = JSON.parse(json.toString('utf8')) as Partial<Facts> | null;
  } catch (cause) {
    throw corrupt(object, 'its facts are no JSON', cause);
  }
  const { operationId, startedAt, runningMs, hydratedMs, blocked = null } = value ?? {};
  if (
    typeof operationId !== 'string' ||
    typeof startedAt !== 'string' ||
    !(runningMs === null || typeof runningMs === 'number') ||
    typeof hydratedMs !== 'number' ||
    !(blocked === null || isBlockedTime(blocked))
  ) {
    throw corrupt(object, 'a fact is missing or of another kind');
  }
  return { operationId, startedAt, runningMs, hydratedMs, blocked };
}

function isBlockedTime({ allMs, eachMs }: Partial<BlockedTime>): boolean {
  return typeof allMs === 'number' && Array.isArray(eachMs) && eachMs.every((ms) => typeof ms === 'number');
}
