/** Pool and host ids and names of keys: they become queue names and job ids, so no other characters. */
export const identifierPattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

export function isIdentifier(value: unknown): boolean {
  return typeof value === 'string' && identifierPattern.test(value);
}

/** Desktop ids: names of machines as brokers have them, a host name with its domain among them. They are kept as registered. */
export const desktopIdPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export function isDesktopId(value: unknown): boolean {
  return typeof value === 'string' && desktopIdPattern.test(value);
}

/** One desktop, one name: capitals do not count where ids are compared, as they do not for the machines of brokers and of Windows. */
export function desktopKey(desktopId: string): string {
  return desktopId.toLowerCase();
}

export const desktopIdInWords =
  'a desktop id is 1 to 100 letters, digits, dots, underscores and hyphens, beginning with a letter or digit';

/** As Postgres and `crypto.randomUUID` write them, whatever their version. */
export const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
