import { rm } from 'node:fs/promises';
import { readIfThere, writeWhole } from '@dormouse/files';
import { z } from 'zod';
import { dataPaths } from './data-directory';

const addressSchema = z.object({ url: z.url(), pid: z.number().int() });

/** What the api leaves in the data directory so that the command line finds it. */
export type ApiAddress = Readonly<z.infer<typeof addressSchema>>;

export async function writeApiAddress(dataDir: string, address: ApiAddress): Promise<void> {
  await writeWhole(dataPaths(dataDir).apiFile, `${JSON.stringify(address)}\n`);
}

/** Null when no api has left its address, or what is there is not one. */
export async function readApiAddress(dataDir: string): Promise<ApiAddress | null> {
  const text = await readIfThere(dataPaths(dataDir).apiFile);
  if (text === null) return null;
  try {
    return addressSchema.parse(JSON.parse(text));
  } catch {
    return null; // a foreign or damaged file is no address
  }
}

export async function removeApiAddress(dataDir: string): Promise<void> {
  await rm(dataPaths(dataDir).apiFile, { force: true });
}
