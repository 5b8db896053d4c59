import { readApiAddress, type DormouseConfig } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';

/**
 * Where the api of this data directory listens.
 * @throws SERVICE_UNAVAILABLE when none has left its address.
 */
export async function findApi({ dataDir }: Pick<DormouseConfig, 'dataDir'>): Promise<string> {
  const address = await readApiAddress(dataDir);
  if (address !== null) return address.url;
  throw new DormouseError(
    'SERVICE_UNAVAILABLE',
    `Dormouse does not run with the data directory ${dataDir}. Start it with \`npm start\`, or set DORMOUSE_URL.`,
  );
}
