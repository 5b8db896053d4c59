/** One broker, one name: the one form in which the `source` of an event is compared, stored and shown. */
export function brokerName(source: string): string {
  return source.trim().normalize('NFC');
}

/**
 * Whether a person, or a program that is less exact, could take one name for the other: capitals, spaces, invisible characters and
 * other forms of the same letters do not count.
 */
export function areLookAlikes(one: string, other: string): boolean {
  return skeleton(one) === skeleton(other);
}

function skeleton(name: string): string {
  return name
    .normalize('NFKC')
    .replace(/[\s\p{Cf}\p{Cc}]/gu, '')
    .toLowerCase();
}
