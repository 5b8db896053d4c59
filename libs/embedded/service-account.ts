import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { DormouseError } from '@dormouse/errors';

export interface ServiceAccount {
  /** Goes in front of a command that shall run under this account. */
  readonly prefix: readonly string[];
  /** Whom its files must belong to, as seen from here; null: whom they belong to. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

/** No change at all. */
export const ourselves: ServiceAccount = { prefix: [], owner: null };

/** Used when there is no account by this name; the kernel gives it no rights either. */
const nobody = { uid: 65_534, gid: 65_534 };

/**
 * An account under which Postgres agrees to run: ours, unless we are root, whom it refuses. For root, in this order:
 *  1. a user namespace in which root is called `postgres`: the files stay root's, so any directory of root's will do;
 *  2. really the user `postgres`, to whom the files then belong.
 * Neither needs a directory above the files to be open to that user: it gets them by descriptor.
 * @throws SERVICE_UNAVAILABLE when we are root and the kernel or the container allows neither.
 */
export function unprivilegedAccount(): ServiceAccount {
  if (process.getuid?.() !== 0) return ourselves;
  const { uid, gid } = lookUp('postgres') ?? nobody;
  const namespace = ['unshare', '--user', `--map-user=${uid}`, `--map-group=${gid}`, '--'];
  const change = ['setpriv', '--reuid', String(uid), '--regid', String(gid), '--clear-groups', '--'];
  const refusals: string[] = [];
  for (const account of [
    { prefix: namespace, owner: { uid: 0, gid: 0 } },
    { prefix: change, owner: { uid, gid } },
  ]) {
    const refusal = tryPrefix(account.prefix);
    if (refusal === null) return account;
    refusals.push(refusal);
  }
  throw new DormouseError(
    'SERVICE_UNAVAILABLE',
    `Postgres does not run as root, and root cannot become another user here (${refusals.join('; ')}): ` +
      'start Dormouse as an ordinary user, or set DATABASE_URL to use your own Postgres',
    { refusals },
  );
}

function tryPrefix([program, ...args]: readonly string[]): string | null {
  // With the same PATH as the service will have.
  const env = { PATH: process.env['PATH'] };
  const { status, error, stderr } = spawnSync(program!, [...args, 'true'], { env, encoding: 'utf8' });
  if (status === 0) return null;
  return error?.message ?? (stderr.trim() || `${program} ended with status ${status}`);
}

function lookUp(name: string): { uid: number; gid: number } | null {
  const line = readFileSync('/etc/passwd', 'utf8').match(new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm'));
  return line === null ? null : { uid: Number(line[1]), gid: Number(line[2]) };
}
