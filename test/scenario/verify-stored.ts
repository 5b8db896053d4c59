import { execFile } from 'node:child_process';
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '@dormouse/config';

/** What `dormouse checkpoint verify` says of each checkpoint of a desktop that is durable, by its id. */
export async function verifyStored(
  dataDir: string,
  desktopId: string,
  { storage = join(dataDir, 'storage'), environment = {} }: { storage?: string; environment?: Environment } = {},
): Promise<Map<string, readonly unknown[]>> {
  const folder = join(storage, 'desktops', desktopId, 'checkpoints');
  const findings = new Map<string, readonly unknown[]>();
  for (const checkpointId of await readdir(folder)) {
    const manifest = join(folder, checkpointId, 'manifest');
    if (!(await exists(manifest))) continue;
    const found = await verify(desktopId, checkpointId, { DATA_DIR: dataDir, ...environment });
    if (await exists(manifest)) findings.set(checkpointId, found); // else it was being removed
  }
  return findings;
}

function verify(desktopId: string, checkpointId: string, environment: Environment): Promise<readonly unknown[]> {
  const main = join(process.cwd(), 'dist', 'apps', 'cli', 'main.js');
  const env = { PATH: process.env['PATH'], ...environment };
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [main, 'checkpoint', 'verify', desktopId, checkpointId, '--json'],
      { env },
      (error, stdout) => {
        if (stdout === '') return reject(error ?? new Error('verify says nothing'));
        resolve((JSON.parse(stdout) as { readonly findings: readonly unknown[] }).findings);
      },
    );
  });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
