import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '@dormouse/config';
import { s3Url, startS3Server } from '../contract/s3-server';
import { startLink } from './start-link';

/** How a storage is reached: as files on the local disk, or as S3 behind a link. */
export const profiles = ['local', 'net'] as const;
export type Profile = (typeof profiles)[number];

/** Storage of a fresh directory below `dataDir`, reached as the profile says. */
export async function withStorage<T>(
  profile: Profile,
  dataDir: string,
  work: (environment: Environment) => Promise<T>,
): Promise<T> {
  await rm(join(dataDir, profile), { recursive: true, force: true });
  await mkdir(join(dataDir, profile), { recursive: true });
  if (profile === 'local') return work(process.env);
  const s3 = await startS3Server(join(dataDir, profile, 'bucket'));
  const link = await startLink(s3.port);
  try {
    return await work({ ...process.env, STORAGE_URL: s3Url(link.port) });
  } finally {
    await link.close();
    await s3.stop();
  }
}
