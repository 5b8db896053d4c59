import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DormouseError } from '@dormouse/errors';
import { readIfThere, writeOnce, writeWhole } from '@dormouse/files';
import { z } from 'zod';
import { dataPaths } from './data-directory';
import { usableDirectory } from './usable-directory';

const claimSchema = z.object({ hostId: z.string().min(1), directoryId: z.string().min(1) });

/** Whose machines run in a data directory. */
export type DataDirectoryClaim = Readonly<z.infer<typeof claimSchema>>;

/**
 * Claims a data directory for one host. What runs in it is told by its files alone: a worker of another host would take these
 * machines for its own, and end them.
 * @throws DATA_DIRECTORY_CLAIMED when it is another host's, DIRECTORY_UNUSABLE
 */
export async function claimDataDirectory(dataDir: string, hostId: string): Promise<DataDirectoryClaim> {
  await usableDirectory(dataDir, 'the data directory', 'DATA_DIR');
  const { claimFile } = dataPaths(dataDir);
  const mine = { hostId, directoryId: randomUUID() };
  const content = `${JSON.stringify(mine)}\n`;
  // Read first: a directory that is full is still the one of its host.
  const before = await readIfThere(claimFile);
  if (before === null && (await writeOnce(claimFile, content))) return mine;
  const found = parseClaim(before ?? (await readIfThere(claimFile)) ?? '');
  if (found === null) {
    // Empty or damaged: it says nothing, and must not keep the host from starting.
    await writeWhole(claimFile, content);
    return mine;
  }
  if (found.hostId === hostId) return found;
  throw new DormouseError(
    'DATA_DIRECTORY_CLAIMED',
    `${dataDir} is the data directory of the host ${found.hostId}, and HOST_ID is ${hostId}. Set HOST_ID=${found.hostId}, or give ` +
      `${hostId} a DATA_DIR of its own. If no desktop of ${found.hostId} runs any more, remove ${claimFile} to give the directory away`,
    { dataDir, hostId: found.hostId },
  );
}

/** The host that a data directory belongs to; null when it is nobody's, or cannot be looked at. */
export function hostOfDataDirectory(dataDir: string): string | null {
  try {
    return parseClaim(readFileSync(dataPaths(dataDir).claimFile, 'utf8'))?.hostId ?? null;
  } catch {
    return null; // the claim itself will say what is wrong
  }
}

function parseClaim(text: string): DataDirectoryClaim | null {
  try {
    return claimSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
