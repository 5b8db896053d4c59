import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { dataPaths } from './data-directory';

const addressSchema = z.object({ url: z.url(), pid: z.number().int() });

/** What the api leaves in the data directory so that the command line finds it. */
export type ApiAddress = Readonly<z.infer<typeof addressSchema>>;

export async function writeApiAddress(dataDir: string, address: ApiAddress): Promise<void> {
  const { apiFile } = dataPaths(dataDir);
  const draft = `${apiFile}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(address)}\n`);
  await rename(draft, apiFile);
}

/** Null when no api has left its address, or what is there is not one. */
export async function readApiAddress(dataDir: string): Promise<ApiAddress | null> {
  let text: string;
  try {
    text = await readFile(dataPaths(dataDir).apiFile, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return addressSchema.parse(JSON.parse(text));
  } catch {
    return null; // a foreign or damaged file is no address
  }
}

export async function removeApiAddress(dataDir: string): Promise<void> {
  await rm(dataPaths(dataDir).apiFile, { force: true });
}
