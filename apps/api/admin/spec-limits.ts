import { DormouseError } from '@dormouse/errors';
import { hostPathsOf, isBelow, networkOf, type LaunchSpec } from '@dormouse/qemu';
import type { Caller } from '../access';

/**
 * What a launch spec says runs as the worker's user, reads its files and joins its networks. A key that is limited to pools is for
 * somebody who has desktops and not the hosts: it may use what the host's admin has put into IMAGE_DIRS, and no more.
 * @param imageDirs null: no directory is for everybody
 * @throws LAUNCH_SPEC_FORBIDDEN naming every field
 */
export function assertSpecAllowed(
  { name, pools }: Pick<Caller, 'name' | 'pools'>,
  spec: LaunchSpec,
  imageDirs: readonly string[] | null,
): void {
  if (pools === null) return;
  const problems = [
    ...(spec.extraArguments.length > 0 ? ['extraArguments: anything could be among them'] : []),
    ...spec.nics.flatMap((nic, n) =>
      networkOf(nic).type === 'user' ? [] : [`nics.${n}.network: it joins a network of the host`],
    ),
    ...hostPathsOf(spec)
      .filter((path) => imageDirs?.some((directory) => isBelow(directory, path)) !== true)
      .map((path) => `${path}: not in a directory that IMAGE_DIRS names`),
  ];
  if (problems.length === 0) return;
  throw new DormouseError(
    'LAUNCH_SPEC_FORBIDDEN',
    `the key ${name} is limited to pools, and this takes an admin key that is not: ${problems.join('; ')}`,
    { problems },
  );
}
