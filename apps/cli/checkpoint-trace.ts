import { writeFile } from 'node:fs/promises';
import { countPages, readTraces, StoredCheckpoint, type BlockedTime, type WakeTrace } from '@dormouse/checkpoint';
import type { CheckpointKeys, CheckpointName } from '@dormouse/checkpoint-tools';
import { DormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import { pictureOf, reportOf } from '@dormouse/working-set';
import { table } from './table';
import { writtenSince } from './written-since';

/** Far more wakes than a checkpoint sees before the next save. */
const mostTraces = 100;

/** What a wake has shown by its end, and by the save after it. */
export interface ToldTrace extends WakeTrace {
  /** Of the pages sent ahead, those that were written to since; null while that is not known. */
  readonly writtenSince: number | null;
}

/** What the wakes of a checkpoint have shown, oldest first. @throws as reading a checkpoint does */
export async function tracesOf(
  store: BlobStore,
  name: CheckpointName,
  { dataKey }: CheckpointKeys,
): Promise<{ pages: number; traces: ToldTrace[] }> {
  const { manifest } = await StoredCheckpoint.find(store, name, dataKey);
  const pages = countPages(manifest.blocks);
  const traces = await readTraces(store, name, dataKey, { pages, most: mostTraces });
  const counts = await writtenSince(store, name, dataKey, traces);
  return { pages, traces: traces.map((trace, n) => ({ ...trace, writtenSince: counts[n]! })) };
}

/** The traces as lists of plain numbers. */
export function traceAsData({ ahead, requests, ...facts }: ToldTrace) {
  const { ahead: _, ...report } = reportOf({ ahead, requests, beforeRunning: facts.beforeRunning });
  return {
    ...facts,
    ...report,
    ahead: [...ahead],
    requested: Array.from(requests.pages, (page, n) => ({
      page,
      atUs: requests.atUs[n]!,
      stallUs: requests.stallUs[n]!,
    })),
  };
}

export function showTraces(traces: readonly ToldTrace[]): string {
  const rows = traces.map((trace) => ({ trace, report: reportOf(trace) }));
  const ms = (value: number): string => `${value.toFixed(2)} ms`;
  return table(
    rows,
    [
      { title: 'WOKEN AT', text: ({ trace }) => shortTime(trace) },
      { title: 'RAN AFTER', text: ({ trace: { runningMs } }) => (runningMs === null ? 'resumed' : `${runningMs} ms`) },
      { title: 'WHOLE AFTER', text: ({ trace }) => `${trace.hydratedMs} ms` },
      { title: 'SENT AHEAD', text: ({ report }) => `${report.ahead} pages` },
      { title: 'BEFORE IT RAN', text: ({ report }) => String(report.aheadBeforeRunning) },
      { title: 'WRITTEN SINCE', text: ({ trace: { writtenSince: count } }) => (count === null ? '-' : String(count)) },
      { title: 'ASKED FOR', text: ({ report }) => `${report.requests} pages` },
      { title: 'WAITED P50', text: ({ report }) => ms(report.stalls.p50) },
      { title: 'P99', text: ({ report }) => ms(report.stalls.p99) },
      { title: 'LONGEST', text: ({ report }) => ms(report.stalls.longest) },
      { title: 'BLOCKED (QEMU)', text: ({ trace: { blocked } }) => blockedInWords(blocked) },
    ],
    'nobody has woken from this checkpoint yet, or its memory is still coming',
  );
}

/** Each processor's own time; a guest that had to wait with all of them at once stood still. */
function blockedInWords(blocked: BlockedTime | null): string {
  return blocked === null ? '-' : `${blocked.eachMs.join(', ')} ms`;
}

function shortTime({ startedAt }: WakeTrace): string {
  return startedAt.slice(0, 19).replace('T', ' ');
}

/** Draws the last wake. @throws CHECKPOINT_UNKNOWN when there was none */
export async function drawLast(
  file: string,
  { desktopId, checkpointId }: CheckpointName,
  { pages, traces }: { readonly pages: number; readonly traces: readonly WakeTrace[] },
): Promise<void> {
  const last = traces.at(-1);
  if (last === undefined) {
    throw new DormouseError(
      'CHECKPOINT_UNKNOWN',
      `nobody has woken from checkpoint ${checkpointId} yet: there is nothing to draw`,
    );
  }
  const { requests, ahead } = reportOf(last);
  const title = `${desktopId}, woken at ${shortTime(last)}: ${ahead} pages ahead, ${requests} asked for`;
  await writeFile(file, pictureOf(last, pages, title));
}
