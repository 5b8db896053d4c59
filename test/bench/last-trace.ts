import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Desk } from '../scenario';

/** What a wake was like for its guest. Stalls in milliseconds. */
export interface Trace {
  readonly requests: number;
  readonly hydratedMs: number;
  readonly stalls: { readonly p50: number; readonly p99: number; readonly longest: number; readonly together: number };
  /** By QEMU's clock; null when it does not say. */
  readonly blocked: { readonly allMs: number } | null;
  readonly ahead: readonly number[];
  readonly requested: readonly { readonly page: number; readonly atUs: number }[];
}

/** The last wake from a checkpoint, as `dormouse checkpoint trace` tells it. */
export async function lastTrace(desk: Desk, checkpointId: string): Promise<Trace> {
  const { dataDir, environment } = desk.home;
  const program = join(process.cwd(), 'dist', 'apps', 'cli', 'main.js');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [program, '--json', 'checkpoint', 'trace', desk.id, checkpointId],
    { env: { ...environment, DATA_DIR: dataDir }, maxBuffer: 2 ** 28 },
  );
  return (JSON.parse(stdout) as { traces: Trace[] }).traces.at(-1)!;
}
