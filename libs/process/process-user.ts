import { runProgram } from './run-program';

/** As whom a program runs. */
export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  /** Further groups, such as the one that may open /dev/kvm. */
  readonly groups: readonly number[];
}

/**
 * Looks a user up.
 * @param text a name; or `uid:gid`, which need not be known here and have no further groups
 * @throws what `id` says of a name that is none
 */
export async function findUser(text: string): Promise<ProcessUser> {
  const [uid, gid] = text.split(':').map(Number);
  if (gid !== undefined) return { uid: uid!, gid, groups: [] };
  const [id, group, groups] = await Promise.all(
    ['-u', '-g', '-G'].map(async (what) => {
      const { stdout } = await runProgram('qemuProbe', 'id', [what, '--', text]);
      return stdout.trim().split(' ').map(Number);
    }),
  );
  return { uid: id![0]!, gid: group![0]!, groups: groups! };
}

/**
 * Goes in front of a command: it runs as this user, without a capability, and no program gives it more (`no_new_privs`). One who is not
 * root would otherwise keep what was handed down to it (capabilities(7), ambient).
 */
export function asUser({ uid, gid, groups }: ProcessUser): string[] {
  return [
    ...['setpriv', '--reuid', String(uid), '--regid', String(gid)],
    ...(groups.length === 0 ? ['--clear-groups'] : ['--groups', groups.join(',')]),
    ...['--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs', '--'],
  ];
}
