import { chmod, chown } from 'node:fs/promises';

/** Lets a group use a file or a directory as its mode says; its owner stays. */
export async function shareWithGroup(path: string, gid: number, mode: number): Promise<void> {
  await chown(path, -1, gid);
  await chmod(path, mode);
}
