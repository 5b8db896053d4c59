/** Desktop, pool and host ids: they become file names, queue names and job ids, so no other characters. */
export const identifierPattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

export function isIdentifier(value: unknown): boolean {
  return typeof value === 'string' && identifierPattern.test(value);
}
