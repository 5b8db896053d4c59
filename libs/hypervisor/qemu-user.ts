import { chmod, chown, mkdtemp, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { makeDirectory } from '@dormouse/files';
import { asUser, findUser, runProgram, type ProcessUser } from '@dormouse/process';
import { isBelow } from '@dormouse/qemu';

interface Roots {
  /** Of the run directories. What they lie in is ours too. */
  readonly runRoot: string;
  /** Of the disk layers. */
  readonly diskRoot: string;
}

/**
 * The user that QEMU is to run as, once it was tried that it can: that we may become this user and hand files to its group, and that it
 * reaches the disk layers. The directories of ours on the way there are opened for passing through, not for looking.
 * @param text as `QEMU_USER` has it
 * @throws QEMU_USER_UNUSABLE saying what to do
 */
export async function readyUser(text: string, { runRoot, diskRoot }: Roots): Promise<ProcessUser> {
  const unusable = (why: string) => (cause?: unknown) => {
    const message = `QEMU cannot run as ${text} (QEMU_USER): ${why}`;
    throw new DormouseError('QEMU_USER_UNUSABLE', message, { user: text }, { cause });
  };
  const found = await findUser(text).catch(unusable('there is no such user. Make it, or name another one'));
  const user = { ...found, groups: [...new Set([...found.groups, ...(await groupOfKvm())])] };
  if (user.uid === 0 || user.uid === process.geteuid?.()) {
    unusable('from root and from the worker it is to be kept apart. Name another user')();
  }
  const [program, ...args] = asUser(user) as [string, ...string[]];
  const as = (...command: string[]): Promise<unknown> => runProgram('qemuProbe', program, [...args, ...command]);
  await as('true').catch(unusable(`the worker may not become this user. ${asRoot}`));
  await tryToShare(runRoot, user).catch(
    unusable(`the worker may not give files to its group. Put the worker into the group ${user.gid}. Or: ${asRoot}`),
  );
  await makeDirectory(diskRoot);
  for (const ours of [dirname(runRoot), diskRoot]) {
    if (ours === diskRoot || isBelow(ours, diskRoot)) await letThrough(ours);
  }
  await as('test', '-x', diskRoot).catch(
    unusable(`it does not reach ${diskRoot}. Let it pass through each directory above (chmod o+x, or setfacl)`),
  );
  return user;
}

const asRoot = 'Start the worker as root, or with CAP_SETUID, CAP_SETGID, CAP_KILL and CAP_SYS_PTRACE';

async function tryToShare(runRoot: string, { gid }: ProcessUser): Promise<void> {
  const trial = await mkdtemp(join(runRoot, '.user-'));
  try {
    await chown(trial, -1, gid);
  } finally {
    await rm(trial, { recursive: true });
  }
}

/** Who runs guests may use KVM, if a group may. */
async function groupOfKvm(): Promise<number[]> {
  const device = await stat('/dev/kvm').catch(() => null); // then there is no KVM
  return device !== null && (device.mode & 0o060) === 0o060 ? [device.gid] : [];
}

/** Of a directory: who knows a name in it comes to that, and nobody sees the names. */
const passing = 0o011;

async function letThrough(directory: string): Promise<void> {
  const { mode, uid } = await stat(directory);
  if (uid === process.geteuid?.() && (mode & passing) !== passing) await chmod(directory, (mode & 0o777) | passing);
}
