import { readFile } from 'node:fs/promises';
import { DormouseError } from '@dormouse/errors';
import type { JsonObject } from '@dormouse/session';
import { decodeText } from '@dormouse/text';

/** @throws REQUEST_INVALID when there is no such file, or no JSON object in it. */
export async function readJsonFile(file: string): Promise<JsonObject> {
  try {
    const value: unknown = JSON.parse(decodeText(await readFile(file)));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch (cause) {
    throw new DormouseError('REQUEST_INVALID', `${file} cannot be read: ${(cause as Error).message}`, {}, { cause });
  }
  throw new DormouseError('REQUEST_INVALID', `${file} must hold a JSON object`);
}
